package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strconv"
	"time"

	"serin.dev/serin/internal/kube"
	"serin.dev/serin/internal/server"
)

// link is a connection to whoever can tell of runs.
type link struct {
	*server.Client
	// inPlace: nobody runs anything; the state folder is read as it lies there.
	inPlace bool
	// cluster: what is asked is the API server of one, which many ask.
	cluster bool
	done    func() error
}

// newsWait is how long one call for news waits.
func (l *link) newsWait() time.Duration {
	if l.cluster {
		return 5 * time.Second
	}
	return time.Second
}

// close lets go of it; what was only read loses nothing by that.
func (l *link) close() {
	l.Close()
	_ = l.done()
}

// label is what the name of a rollout looks like.
var label = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)

// connect reaches the program that runs a rollout, else the daemon, else the
// state folder itself. The name may be empty.
func (c *command) connect(ctx context.Context, name string) (*link, error) {
	if c.onCluster() {
		return c.connectToCluster()
	}
	state, err := c.stateDir()
	if err != nil {
		return nil, err
	}
	l, err := dialAny(ctx, state, name)
	if errors.Is(err, server.ErrNobody) {
		return c.readInPlace(ctx, state)
	}
	return l, err
}

// reach is connect for those who need a program that runs the rollout.
func (c *command) reach(ctx context.Context, name string) (*link, error) {
	if c.onCluster() {
		return c.connectToCluster()
	}
	state, err := c.stateDir()
	if err != nil {
		return nil, err
	}
	l, err := dialAny(ctx, state, name)
	if errors.Is(err, server.ErrNobody) {
		return nil, nobodyRuns(name, state)
	}
	return l, err
}

// connectToCluster answers from a cluster's API server, with the person's own
// credentials; the controller there carries out what is asked.
func (c *command) connectToCluster() (*link, error) {
	connection, err := kube.Connect(c.target, "serin/"+c.Version)
	if err != nil {
		return nil, err
	}
	backend, err := c.Cluster.Open(connection)
	if err != nil {
		return nil, err
	}
	api := server.New(backend, c.Version)
	return &link{Client: server.NewClient(server.InProcess(api, server.CurrentUser())), cluster: true, done: func() error { return nil }}, nil
}

func nobodyRuns(name, state string) error {
	return unreachable("no serin serve or run is running for %s under %s; start `serin serve -f DIR` or `serin run -f FILE`, or name another folder with --state", name, state)
}

// reachRun is connectToRun for those who need the program that carries the run.
func (c *command) reachRun(ctx context.Context, name string) (*link, server.Run, error) {
	if l, r, ok := c.reachCarried(ctx, name); ok {
		return l, r, nil
	}
	l, r, err := c.connectToRun(ctx, name, 0)
	switch {
	case err == nil && !l.inPlace:
		return l, r, nil
	case err == nil:
		l.close()
		l, err = c.reach(ctx, r.Rollout)
		return l, r, err
	}
	l, errReach := c.reach(ctx, name)
	if errReach != nil {
		return nil, r, c.notFound(err, errReach)
	}
	l.close()
	return nil, r, err
}

// notFound is the error of a name when nobody runs anything, and why the name was
// not found: one that nothing is known of is a mistake, whatever it is wanted for.
// Where nothing can be known, that nobody runs it explains more.
func (c *command) notFound(why, nobody error) error {
	if c.codeOf(why) != exitUsage {
		return nobody
	}
	return usage("%w; besides, %w", why, nobody)
}

// What the id of a run looks like, and of which rollout it is: on this machine, and
// on a cluster.
var (
	runHere      = regexp.MustCompile(`^(.+)-\d{8}-\d{6}-[a-z0-9]{4}$`)
	runOnCluster = regexp.MustCompile(`^(.+)-\d+$`)
)

// reachCarried reaches a run that goes on by its address alone, without a list of
// runs. A program on this machine tells of it from its memory: who wants a rollback
// depends neither on the database nor on a cluster that is slow to list.
func (c *command) reachCarried(ctx context.Context, name string) (*link, server.Run, bool) {
	carried := c.carriedHere
	if c.onCluster() {
		carried = c.carriedOnCluster
	}
	l, r, err := carried(ctx, name)
	if err == nil && !r.Ended() {
		return l, r, true
	}
	if l != nil {
		l.close()
	}
	return nil, server.Run{}, false
}

// carriedHere reaches the run of a rollout that goes on, or the one with an id.
func (c *command) carriedHere(ctx context.Context, name string) (*link, server.Run, error) {
	l, err := c.reach(ctx, name)
	m := runHere.FindStringSubmatch(name)
	if err != nil && m != nil { // "serin run" listens for its rollout
		l, err = c.reach(ctx, m[1])
	}
	if err != nil {
		return nil, server.Run{}, err
	}
	id := name
	switch at, err := l.Rollout(ctx, name); {
	case err == nil && at.Run == "":
		return l, server.Run{}, server.ErrNotRunning
	case err == nil:
		id = at.Run
	case m == nil || !server.HasCode(err, server.CodeUnknownRollout):
		return l, server.Run{}, err
	}
	r, err := l.Run(ctx, id)
	if err != nil || r.Rollout == name {
		return l, r, err
	}
	// Another program than the one that was asked may carry it.
	l.close()
	l, err = c.reach(ctx, r.Rollout)
	return l, r, err
}

// carriedOnCluster reaches the run with an id. The run of a rollout is looked for.
func (c *command) carriedOnCluster(ctx context.Context, name string) (*link, server.Run, error) {
	if !runOnCluster.MatchString(name) {
		return nil, server.Run{}, server.ErrNotRunning
	}
	l, err := c.connectToCluster()
	if err != nil {
		return nil, server.Run{}, err
	}
	r, err := l.Run(ctx, name)
	if err != nil {
		return l, r, err
	}
	// A rollout of that name is what is meant, when there is one.
	if _, err := l.Rollout(ctx, name); !server.HasCode(err, server.CodeUnknownRollout) {
		return l, r, server.ErrNotRunning
	}
	return l, r, nil
}

// reachAgain reaches the program that carries a run, or, when it ended together
// with its run as "serin run" does, what it left of the run.
func (c *command) reachAgain(ctx context.Context, r server.Run) (*link, error) {
	l, err := c.connect(ctx, r.Rollout)
	if err != nil || !l.inPlace {
		return l, err
	}
	if left, err := l.Run(ctx, r.ID); err == nil && left.Ended() {
		return l, nil
	}
	l.close()
	return nil, server.ErrNobody
}

// dialAny reaches the program that runs a rollout, else the daemon; the error
// wraps server.ErrNobody when there is neither.
func dialAny(ctx context.Context, state, name string) (*link, error) {
	sockets := []string{server.DaemonSocket(state)}
	if label.MatchString(name) {
		sockets = append([]string{server.RunSocket(state, name)}, sockets...)
	}
	for _, socket := range sockets {
		client, err := server.Dial(ctx, socket)
		if err == nil {
			return &link{Client: client, done: func() error { return nil }}, nil
		}
		if !errors.Is(err, server.ErrNobody) {
			return nil, unreachable("%w; is it another user's? name another folder with --state", err)
		}
	}
	return nil, server.ErrNobody
}

// readInPlace reads the state folder without anybody's help.
func (c *command) readInPlace(ctx context.Context, state string) (*link, error) {
	backend, done, err := c.ReadOnly(ctx, state)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, unreachable("nothing has run under %s yet; start `serin run -f FILE` or `serin serve -f DIR`, or name another folder with --state", state)
	}
	if err != nil {
		return nil, err
	}
	api := server.New(backend, c.Version)
	return &link{Client: server.NewClient(server.InProcess(api, server.CurrentUser())), inPlace: true, done: done}, nil
}

// connectToRun reaches a run by the name of its rollout, which means the run
// that goes on or else the latest, or by its own id. A number other than 0
// means that run of the rollout.
func (c *command) connectToRun(ctx context.Context, name string, number int) (*link, server.Run, error) {
	l, err := c.connect(ctx, name)
	if err != nil {
		return nil, server.Run{}, err
	}
	r, err := find(ctx, l, name, number)
	if err != nil {
		l.close()
		return nil, r, err
	}
	if r.Rollout == name || r.Ended() {
		return l, r, nil
	}
	// The run was named by its id: somebody else may be running it.
	l.close()
	l, err = c.connect(ctx, r.Rollout)
	return l, r, err
}

func find(ctx context.Context, l *link, name string, number int) (server.Run, error) {
	limit := 1
	if number != 0 {
		limit = 1000
	}
	runs, err := l.Runs(ctx, name, limit)
	if err != nil {
		return server.Run{}, err
	}
	for _, r := range runs {
		if number == 0 || r.Number == number {
			return r, nil
		}
	}
	if len(runs) > 0 {
		return server.Run{}, usage("%s has no run %d; `serin history %s` lists its runs", name, number, name)
	}
	r, err := l.Run(ctx, name)
	if !server.HasCode(err, server.CodeNotFound) {
		return r, err
	}
	if _, err := l.Rollout(ctx, name); err == nil {
		return r, usage("rollout %s has had no run yet; start one with `serin release %s --version V`", name, name)
	}
	return r, usage("%q is neither a rollout nor the id of a run here; `serin get` lists the rollouts", name)
}

// runNumber is the value of --run.
type runNumber int

func (n *runNumber) String() string { return strconv.Itoa(int(*n)) }
func (n *runNumber) Type() string   { return "number" }

func (n *runNumber) Set(s string) error {
	v, err := strconv.Atoi(s)
	if err != nil || v < 1 {
		return fmt.Errorf("write the run's number, from 1; `serin history` lists them")
	}
	*n = runNumber(v)
	return nil
}
