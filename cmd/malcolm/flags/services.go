package flags

import (
	"fmt"
	"net/netip"
	"strings"

	"malcolm/cmd/malcolm/human"
	"malcolm/transfer/source"
)

// servicePrefix is what an SRV name begins with.
const servicePrefix = "srv:"

// isService reports whether an address is an SRV name.
func isService(s string) bool {
	return len(s) >= len(servicePrefix) && strings.EqualFold(s[:len(servicePrefix)], servicePrefix)
}

// parseService reads srv:NAME. The name comes back in lower case. What is
// behind the labels of the service and of its transport must be a host name.
func parseService(s string) (t source.Target, err error) {
	name := s[len(servicePrefix):]
	if name == "" {
		return t, fmt.Errorf("%s lacks the name, as in srv:_malcolm._udp.example.com", human.Quote(s))
	}
	if err := checkTargetText(name); err != nil {
		return t, err
	}
	if host, port, ok := strings.Cut(name, ":"); ok {
		return t, fmt.Errorf("%s has the port %s: the ports of an SRV name are in DNS; write %s", human.Quote(s), human.Quote(port), human.Quote(servicePrefix+host))
	}
	if t.Service, err = checkHost(name); err != nil {
		return source.Target{}, fmt.Errorf("%s: %w", human.Quote(s), err)
	}
	if _, err := netip.ParseAddr(name); err == nil {
		return source.Target{}, fmt.Errorf("%s: %s is an address, and no name", human.Quote(s), human.Quote(name))
	}
	if domain := source.Domain(t.Service); strings.HasPrefix(domain, "_") {
		return source.Target{}, fmt.Errorf("%s has no domain behind its labels, as in srv:_malcolm._udp.example.com", human.Quote(s))
	}
	return t, nil
}
