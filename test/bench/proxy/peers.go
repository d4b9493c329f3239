package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"strings"
	"syscall"
	"time"

	"serin.dev/serin/internal/proxy"
)

// startFunc starts one peer on a set of cores in front of the origin.
type startFunc func(ctx context.Context, dir, cores string, origin *origin) (*peer, error)

func peers(o options) []startFunc {
	all := []struct {
		name  string
		start startFunc
	}{{"serin", startSerin(o.profile)}, {"haproxy", startHAProxy}, {"nginx", startNginx}, {"caddy", startCaddy}}
	var chosen []startFunc
	for _, p := range all {
		if len(o.only) == 0 || slices.Contains(o.only, p.name) {
			chosen = append(chosen, p.start)
		}
	}
	return chosen
}

// origin is the server behind every proxy, nginx as it is without settings of its
// own: with tcp_nopush it would hold back the last page of a 64 KB file until the
// rest is acknowledged, which takes 40 ms when the proxy's kernel delays that, and
// all proxies' p99 would be the origin's. Its two addresses are one server, so
// that Serin can split between two arms.
type origin struct {
	*peer
	addr, second string
}

func startOrigin(ctx context.Context, dir, cores string) (*origin, error) {
	if err := os.WriteFile(filepath.Join(dir, "64k"), bytes.Repeat([]byte("x"), 64<<10), 0o644); err != nil {
		return nil, err
	}
	addrs, err := freeAddrs(2)
	if err != nil {
		return nil, err
	}
	config := nginxConfig(dir, "origin", fmt.Sprintf(`
  server {
    listen %s; listen %s;
    root %s;
    open_file_cache max=16;
    location = /small { default_type text/plain; return 200 "%s"; }
  }`, addrs[0], addrs[1], dir, strings.Repeat("s", 100)))
	p, err := startNginxWith(ctx, dir, "origin", cores, addrs[0], config)
	if err != nil {
		return nil, err
	}
	return &origin{p, addrs[0], addrs[1]}, nil
}

func startSerin(profile string) startFunc {
	return func(ctx context.Context, dir, cores string, o *origin) (*peer, error) {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		addrs, err := freeAddrs(2)
		if err != nil {
			return nil, err
		}
		argv := []string{"taskset", "-c", cores, self, "-role", "serin"}
		if profile != "" {
			argv = append(argv, "-cpuprofile", profile)
		}
		p, err := startPeer(ctx, dir, "serin", "http://"+addrs[0], []string{"GOMAXPROCS=1"}, append(argv, addrs[0], addrs[1], dir, o.addr, o.second)...)
		if err == nil {
			p.secure = "https://" + addrs[1]
			p.version = "this tree, 5 % to the canary"
		}
		return p, err
	}
}

// runSerin is the measured process: the proxy as the program runs it.
func runSerin(args []string, profile string) error {
	if len(args) != 5 {
		return fmt.Errorf("want the addresses of both listeners, the certificate's folder, stable and canary, got %q", args)
	}
	if profile != "" {
		f, err := os.Create(profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	dir := args[2]
	for addr, cfg := range map[string]proxy.Config{
		args[0]: {},
		args[1]: {CertFile: filepath.Join(dir, certName), KeyFile: filepath.Join(dir, keyName)},
	} {
		p, err := proxy.New(cfg)
		if err != nil {
			return err
		}
		err = p.Update(proxy.Split{Weight: 5,
			Stable: []proxy.Backend{{Name: "stable", URL: "http://" + args[3]}},
			Canary: []proxy.Backend{{Name: "canary", URL: "http://" + args[4]}}})
		if err != nil {
			return err
		}
		ln, err := proxy.Listen(addr)
		if err != nil {
			return err
		}
		go func() { _ = p.Serve(ln) }()
		defer func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			_ = p.Shutdown(ctx)
		}()
	}
	<-ctx.Done()
	return nil
}

func startHAProxy(ctx context.Context, dir, cores string, o *origin) (*peer, error) {
	addrs, err := freeAddrs(2)
	if err != nil {
		return nil, err
	}
	config := fmt.Sprintf(`global
  nbthread 1
  maxconn 4096
defaults
  mode http
  option forwardfor
  http-reuse always
  timeout connect 1s
  timeout client 60s
  timeout server 60s
  timeout http-keep-alive 60s
frontend in
  bind %s
  bind %s ssl crt %s alpn h2,http/1.1
  default_backend out
backend out
  server origin %s
`, addrs[0], addrs[1], filepath.Join(dir, bothName), o.addr)
	file := filepath.Join(dir, "haproxy.cfg")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		return nil, err
	}
	p, err := startPeer(ctx, dir, "haproxy", "http://"+addrs[0], nil, "taskset", "-c", cores, "haproxy", "-db", "-f", file)
	if err == nil {
		p.version, p.secure = versionOf("haproxy", "-v"), "https://"+addrs[1]
	}
	return p, err
}

func startNginx(ctx context.Context, dir, cores string, o *origin) (*peer, error) {
	addrs, err := freeAddrs(2)
	if err != nil {
		return nil, err
	}
	config := nginxConfig(dir, "nginx", fmt.Sprintf(`
  upstream origin { server %s; keepalive 128; keepalive_requests 1000000; }
  server {
    listen %s;
    listen %s ssl http2;
    ssl_certificate %s;
    ssl_certificate_key %s;
    location / {
      proxy_pass http://origin;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto $scheme;
    }
  }`, o.addr, addrs[0], addrs[1], filepath.Join(dir, certName), filepath.Join(dir, keyName)))
	p, err := startNginxWith(ctx, dir, "nginx", cores, addrs[0], config)
	if err == nil {
		p.version, p.secure = versionOf("nginx", "-v"), "https://"+addrs[1]
	}
	return p, err
}

func nginxConfig(dir, name, servers string) string {
	temp := ""
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		temp += fmt.Sprintf("  %s_temp_path %s;\n", kind, filepath.Join(dir, name+"-"+kind))
	}
	return fmt.Sprintf(`daemon off;
worker_processes 1;
pid %s;
error_log stderr crit;
events { worker_connections 4096; }
http {
  access_log off;
  sendfile on;
  keepalive_requests 1000000;
%s%s
}
`, filepath.Join(dir, name+".pid"), temp, servers)
}

func startNginxWith(ctx context.Context, dir, name, cores, addr, config string) (*peer, error) {
	file := filepath.Join(dir, name+".conf")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		return nil, err
	}
	// Workers run as another user when the bench runs as root.
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, err
	}
	return startPeer(ctx, dir, name, "http://"+addr, nil, "taskset", "-c", cores, "nginx", "-p", dir, "-c", file)
}

func startCaddy(ctx context.Context, dir, cores string, o *origin) (*peer, error) {
	addrs, err := freeAddrs(2)
	if err != nil {
		return nil, err
	}
	// Caddy keeps 32 idle connections a host unless told; fewer than the load
	// has would measure its dialing.
	config := fmt.Sprintf(`{
  admin off
  auto_https off
}
(origin) {
  reverse_proxy %s {
    transport http {
      keepalive_idle_conns_per_host 128
      compression off
    }
  }
}
http://%s {
  import origin
}
https://%s {
  tls %s %s
  import origin
}
`, o.addr, addrs[0], addrs[1], filepath.Join(dir, certName), filepath.Join(dir, keyName))
	file := filepath.Join(dir, "Caddyfile")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		return nil, err
	}
	env := []string{"GOMAXPROCS=1", "XDG_CONFIG_HOME=" + dir, "XDG_DATA_HOME=" + dir}
	p, err := startPeer(ctx, dir, "caddy", "http://"+addrs[0], env, "taskset", "-c", cores, "caddy", "run", "--config", file, "--adapter", "caddyfile")
	if err == nil {
		p.version, p.secure = "caddy "+versionOf("caddy", "version"), "https://"+addrs[1]
	}
	return p, err
}

func versionOf(argv ...string) string {
	out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		return "version unknown"
	}
	first, _, _ := strings.Cut(string(out), "\n")
	return first
}

func freeAddrs(n int) ([]string, error) {
	addrs := make([]string, n)
	for i := range addrs {
		port, err := freePort()
		if err != nil {
			return nil, fmt.Errorf("looking for a free port: %w", err)
		}
		addrs[i] = fmt.Sprintf("127.0.0.1:%d", port)
	}
	return addrs, nil
}
