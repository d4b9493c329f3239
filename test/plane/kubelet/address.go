package kubelet

import (
	"encoding/binary"
	"errors"
	"math"
	"net/netip"
	"sync"

	"k8s.io/apimachinery/pkg/types"
)

// reserved are the first addresses of the network, which are not given to pods.
const reserved = 256

// addresses gives every pod an address of its own, round the network, so that
// an address is not soon somebody else's.
type addresses struct {
	network netip.Prefix

	mu    sync.Mutex
	next  uint32
	owner map[uint32]types.UID
	of    map[types.UID]uint32
}

func newAddresses(network netip.Prefix) *addresses {
	return &addresses{network: network.Masked(), next: reserved, owner: map[uint32]types.UID{}, of: map[types.UID]uint32{}}
}

// size is how many pods can have an address.
func (a *addresses) size() int {
	return int(math.Pow(2, float64(32-a.network.Bits()))) - reserved - 1
}

// take returns the pod's address, the same every time.
func (a *addresses) take(pod types.UID) (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	n, ok := a.of[pod]
	for tries := 0; !ok; tries++ {
		if tries >= a.size() {
			return "", errors.New("every address of the pods' network is taken")
		}
		n = a.next
		if a.next++; a.next >= uint32(reserved+a.size()) {
			a.next = reserved
		}
		if _, taken := a.owner[n]; !taken {
			a.owner[n], a.of[pod], ok = pod, n, true
		}
	}
	four := a.network.Addr().As4()
	binary.BigEndian.PutUint32(four[:], binary.BigEndian.Uint32(four[:])+n)
	return netip.AddrFrom4(four).String(), nil
}

func (a *addresses) free(pod types.UID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.owner, a.of[pod])
	delete(a.of, pod)
}
