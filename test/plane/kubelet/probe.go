package kubelet

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// probe watches the health of a running process until the context ends. What
// it returns is closed when the process has to be restarted.
func (c *container) probe(ctx context.Context) <-chan struct{} {
	unhealthy := make(chan struct{})
	var once sync.Once
	fail := func() { once.Do(func() { close(unhealthy) }) }
	go func() {
		if p := c.spec.StartupProbe; p != nil {
			up := false
			c.check(ctx, p, func(healthy bool) bool {
				if up = healthy; !up {
					fail()
				}
				return false
			})
			if !up {
				return
			}
		}
		c.set(func() { c.started, c.ready = true, c.spec.ReadinessProbe == nil })
		if p := c.spec.LivenessProbe; p != nil {
			go c.check(ctx, p, func(healthy bool) bool {
				if !healthy {
					fail()
				}
				return healthy
			})
		}
		if p := c.spec.ReadinessProbe; p != nil {
			go c.check(ctx, p, func(healthy bool) bool {
				c.set(func() { c.ready = healthy })
				return true
			})
		}
	}()
	return unhealthy
}

// set changes the state of a container whose process runs.
func (c *container) set(change func()) {
	c.mu.Lock()
	if c.state.Running != nil {
		change()
	}
	c.mu.Unlock()
	c.pod.change()
}

// check asks again and again, and calls decided whenever enough answers in a
// row agree, until that returns false or the context ends.
func (c *container) check(ctx context.Context, p *corev1.Probe, decided func(healthy bool) bool) {
	sleep(ctx, time.Duration(p.InitialDelaySeconds)*time.Second)
	period := time.Duration(max(1, p.PeriodSeconds)) * time.Second
	var good, bad int32
	for ctx.Err() == nil {
		one, cancel := context.WithTimeout(ctx, time.Duration(max(1, p.TimeoutSeconds))*time.Second)
		err := c.ask(one, p)
		cancel()
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			good, bad = good+1, 0
		} else {
			good, bad = 0, bad+1
		}
		if good >= max(1, p.SuccessThreshold) && !decided(true) || bad >= max(1, p.FailureThreshold) && !decided(false) {
			return
		}
		sleep(ctx, period)
	}
}

func (c *container) ask(ctx context.Context, p *corev1.Probe) error {
	switch {
	case p.HTTPGet != nil:
		return c.get(ctx, p.HTTPGet)
	case p.TCPSocket != nil:
		address, err := c.address(p.TCPSocket.Host, p.TCPSocket.Port)
		if err != nil {
			return err
		}
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err != nil {
			return err
		}
		return conn.Close()
	case p.Exec != nil:
		return c.exec(ctx, p.Exec.Command)
	}
	return errors.New("the test kubelet does not know this kind of probe")
}

// prober asks as the real kubelet does: a new connection each time, any
// certificate will do, and a redirect is an answer.
func prober() *http.Client {
	return &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func (c *container) get(ctx context.Context, a *corev1.HTTPGetAction) error {
	address, err := c.address(a.Host, a.Port)
	if err != nil {
		return err
	}
	scheme := strings.ToLower(string(a.Scheme))
	if scheme == "" {
		scheme = "http"
	}
	url := scheme + "://" + address + "/" + strings.TrimPrefix(a.Path, "/")
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", "kube-probe/test")
	for _, h := range a.HTTPHeaders {
		req.Header.Add(h.Name, h.Value)
		if strings.EqualFold(h.Name, "Host") {
			req.Host = h.Value
		}
	}
	resp, err := prober().Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode < 200 || resp.StatusCode >= 400 {
		return fmt.Errorf("%s answers %s", url, resp.Status)
	}
	return nil
}

// address is where a port of the container, or of another host, is reached.
func (c *container) address(host string, port intstr.IntOrString) (string, error) {
	if host == "" {
		host = c.pod.address
	}
	number := port.IntValue()
	for _, p := range c.spec.Ports {
		if port.Type == intstr.String && p.Name == port.StrVal {
			number = int(p.ContainerPort)
		}
	}
	if number <= 0 {
		return "", fmt.Errorf("the container has no port %s", port.String())
	}
	return net.JoinHostPort(host, strconv.Itoa(number)), nil
}
