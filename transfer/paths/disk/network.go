package disk

import (
	"encoding/binary"
	"encoding/hex"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
)

// Network says what tells the network of a local address from others with the
// same addresses: the name of the interface, and on Linux the hardware address
// of its router, since many homes have 192.168.1.0/24. Empty: nothing is known.
func Network(local netip.Addr) string {
	name := interfaceOf(local)
	if name == "" {
		return ""
	}
	router, ok := routerOf(tableOf("/proc/net/route"), name)
	if !ok {
		return name
	}
	return name + " " + hardwareOf(tableOf("/proc/net/arp"), name, router)
}

// interfaceOf returns the name of the interface with an address.
func interfaceOf(local netip.Addr) string {
	all, err := net.Interfaces()
	if err != nil {
		return ""
	}
	for _, i := range all {
		addrs, err := i.Addrs()
		if err != nil {
			continue
		}
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok && n.IP.Equal(local.Unmap().WithZone("").AsSlice()) {
				return i.Name
			}
		}
	}
	return ""
}

// tableOf returns the rows of a table of the kernel, without its head. It is
// empty if the kernel has no such table.
func tableOf(path string) (rows [][]string) {
	const most = 64 << 10 // bytes
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	text, _ := io.ReadAll(io.LimitReader(f, most))
	_, body, _ := strings.Cut(string(text), "\n")
	for line := range strings.Lines(body) {
		rows = append(rows, strings.Fields(line))
	}
	return rows
}

// routerOf returns the address of an interface's default router, from the rows
// of /proc/net/route: interface, destination, router, flags, ... The addresses
// are four bytes of memory, read as a number of this machine.
func routerOf(routes [][]string, name string) (netip.Addr, bool) {
	for _, row := range routes {
		if len(row) < 3 || row[0] != name || row[1] != "00000000" || row[2] == "00000000" {
			continue
		}
		b, err := hex.DecodeString(row[2])
		if err != nil || len(b) != 4 {
			continue
		}
		var addr [4]byte
		binary.NativeEndian.PutUint32(addr[:], binary.BigEndian.Uint32(b))
		return netip.AddrFrom4(addr), true
	}
	return netip.Addr{}, false
}

// hardwareOf returns the hardware address of a neighbour, from the rows of
// /proc/net/arp: address, type, flags, hardware address, mask, interface.
// Empty: it is not known.
func hardwareOf(neighbours [][]string, name string, router netip.Addr) string {
	const unknown = "00:00:00:00:00:00"
	for _, row := range neighbours {
		if len(row) >= 6 && row[0] == router.String() && row[5] == name && row[3] != unknown {
			return row[3]
		}
	}
	return ""
}
