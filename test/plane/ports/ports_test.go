package ports_test

import (
	"net"
	"runtime"
	"testing"

	"serin.dev/serin/test/plane/ports"
)

func TestAKeptAddressIsForWhoNamesIt(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("elsewhere an address is not kept")
	}
	kept := ports.Keep(t)
	if c, err := net.Dial("tcp", kept); err == nil {
		c.Close()
		t.Errorf("somebody listens at %s", kept)
	}
	for range 2 { // it stays kept when a server there ends
		l, err := net.Listen("tcp", kept)
		if err != nil {
			t.Fatal(err)
		}
		c, err := net.Dial("tcp", kept)
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		l.Close()
		for range 1000 {
			other, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			other.Close()
			if other.Addr().String() == kept {
				t.Fatalf("%s was given to somebody else", kept)
			}
		}
	}
}
