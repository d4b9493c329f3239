package process

import (
	"fmt"
	"hash/fnv"
	"net"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// Ports are taken from a range of their own, below those that the system gives
// to outgoing connections: one of these, of which a busy proxy makes many,
// could otherwise sit on an instance's port while it starts.
const (
	firstPort = 20000
	portCount = 10000
)

// ports knows which instance has which port, so that two of one workload never
// race for one.
type ports struct {
	mu    sync.Mutex
	owner map[int]string
}

// claim makes port the instance's if nobody else has it, in this workload or on
// this machine.
func (p *ports) claim(name string, port int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if other, taken := p.owner[port]; taken && other != name || !portFree(port) {
		return false
	}
	p.keep(name, port)
	return true
}

// hold makes port the instance's, which listens there already.
func (p *ports) hold(name string, port int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keep(name, port)
}

func (p *ports) keep(name string, port int) {
	for old, owner := range p.owner {
		if owner == name {
			delete(p.owner, old)
		}
	}
	if p.owner == nil {
		p.owner = map[int]string{}
	}
	p.owner[port] = name
}

func (p *ports) release(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for port, owner := range p.owner {
		if owner == name {
			delete(p.owner, port)
		}
	}
}

// find claims a free port. Different instances begin to look at different
// places, so that workloads that know nothing of each other seldom meet.
func (p *ports) find(name, marker string) (int, error) {
	h := fnv.New32a()
	h.Write([]byte(marker)) // never fails
	begin := int(h.Sum32() % portCount)
	for n := range portCount {
		// A prime step, so that neighbours do not queue up behind each other.
		if port := firstPort + (begin+n*7919)%portCount; p.claim(name, port) {
			return port, nil
		}
	}
	return 0, fmt.Errorf("every port from %d to %d is taken", firstPort, firstPort+portCount-1)
}

// choosePort keeps the instance's port while it is free and otherwise picks
// another.
func (i *instance) choosePort() error {
	if fixed := i.group.version.Port; fixed != 0 {
		i.record.Port = fixed
		if !i.w.ports.claim(i.name, fixed) {
			return fmt.Errorf("port %d is taken by another program; end that, or choose another port: %w", fixed, unix.EADDRINUSE)
		}
		return nil
	}
	if i.record.Port != 0 && i.w.ports.claim(i.name, i.record.Port) {
		return nil
	}
	port, err := i.w.ports.find(i.name, i.marker())
	if err != nil {
		return err
	}
	i.record.Port = port
	return nil
}

// movePort gives an instance that never became ready another port when its own
// is taken by somebody else, a few times at most.
func (i *instance) movePort() bool {
	if i.wasReady() || i.group.version.Port != 0 || i.record.Moves >= 5 || portFree(i.record.Port) {
		return false
	}
	port, err := i.w.ports.find(i.name, i.marker())
	if err != nil {
		return false
	}
	i.record.Port = port
	i.record.Moves++
	return true
}

func portFree(port int) bool {
	ln, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return false
	}
	ln.Close()
	return true
}
