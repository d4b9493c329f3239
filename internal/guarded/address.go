package guarded

import (
	"errors"
	"fmt"
	"net/netip"
)

// ErrRefused is wrapped by the error of asking an address that is never asked.
var ErrRefused = errors.New("address refused")

// refused are the addresses at which clouds answer any process of a machine
// with the machine's own credentials, and the link-local ranges they live in.
// Loopback and private addresses are not here: users' own services are there.
var refused = []netip.Prefix{
	netip.MustParsePrefix("169.254.0.0/16"),     // link-local: AWS, Azure, GCP, OpenStack, …
	netip.MustParsePrefix("fe80::/10"),          // link-local
	netip.MustParsePrefix("fd00:ec2::/32"),      // AWS
	netip.MustParsePrefix("fd20:ce::254/128"),   // GCP
	netip.MustParsePrefix("100.100.100.200/32"), // Alibaba Cloud
	netip.MustParsePrefix("192.0.0.192/32"),     // Oracle Cloud
	netip.MustParsePrefix("168.63.129.16/32"),   // Azure
	netip.MustParsePrefix("224.0.0.0/4"),        // multicast
	netip.MustParsePrefix("ff00::/8"),           // multicast
}

// carriers are IPv6 ranges whose addresses carry an IPv4 address, from the
// given byte on, that the network may deliver to.
var carriers = []struct {
	prefix netip.Prefix
	at     int
}{
	{netip.MustParsePrefix("64:ff9b::/96"), 12}, // NAT64
	{netip.MustParsePrefix("2002::/16"), 2},     // 6to4
	{netip.MustParsePrefix("::/96"), 12},        // IPv4-compatible
}

// check refuses an address that must not be dialled.
func check(ip netip.Addr) error {
	ip = ip.Unmap().WithZone("")
	for _, prefix := range refused {
		if prefix.Contains(ip) {
			return fmt.Errorf("%w: %s is a link-local, metadata or multicast address, which Serin never asks", ErrRefused, ip)
		}
	}
	for _, c := range carriers {
		if c.prefix.Contains(ip) && !ip.IsLoopback() && !ip.IsUnspecified() {
			b := ip.As16()
			return check(netip.AddrFrom4([4]byte(b[c.at : c.at+4])))
		}
	}
	return nil
}

// checkLiteral checks a host that is written as an address; names pass.
func checkLiteral(host string) error {
	if ip, err := netip.ParseAddr(host); err == nil {
		return check(ip)
	}
	return nil
}
