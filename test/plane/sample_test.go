//go:build plane

package plane_test

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// sampleArg makes the test program the program that pods of the image "sample"
// run.
const sampleArg = "sample-program"

// sample is a small web program. It tells its version, can be told to be
// healthy or not, and crashes when asked.
func sample(args []string) int {
	flags := flag.NewFlagSet("sample", flag.ContinueOnError)
	listen := flags.String("listen", os.Getenv("POD_IP")+":8080", "address")
	version := flags.String("version", "v1", "what it answers")
	crash := flags.Int("crash", 0, "end at once with this code")
	unhealthy := flags.Bool("unhealthy", false, "fail health checks until told otherwise")
	linger := flags.Duration("linger", 0, "how long it goes on after it is told to end")
	identity := flags.Bool("identity", false, "say who the API server thinks it is")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	fmt.Println("version", *version, "starts")
	if *crash != 0 {
		fmt.Fprintln(os.Stderr, "panic: asked to crash")
		return *crash
	}
	if *identity {
		fmt.Println(whoami())
	}
	var healthy atomic.Bool
	healthy.Store(!*unhealthy)
	var served atomic.Int64
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		served.Add(1)
		fmt.Fprint(w, *version)
	})
	mux.HandleFunc("/health", func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			healthy.Store(r.URL.Query().Get("ok") == "yes")
		} else if !healthy.Load() {
			http.Error(w, "not healthy", http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("/metrics", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "# TYPE sample_served_total counter\nsample_served_total{version=%q} %d\n", *version, served.Load())
	})
	server := &http.Server{Addr: *listen, Handler: mux}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	go func() {
		<-ctx.Done()
		fmt.Println("told to end")
		time.Sleep(*linger)
		_ = server.Close()
	}()
	if err := server.ListenAndServe(); ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// whoami asks the API server with the identity that the pod was given.
func whoami() string {
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		return err.Error()
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err.Error()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	me, err := client.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		return err.Error()
	}
	return me.Status.UserInfo.Username
}
