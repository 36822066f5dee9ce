package view

import (
	"encoding/base64"
	"net"

	"malcolm/cmd/malcolm/human"
	"malcolm/transfer/serve"
)

// A Web says how serve answers HTTP on its TCP ports.
type Web struct {
	HTTPS bool // it does
	Own   bool // it shows a certificate of its own, which no browser trusts
}

// Commands returns the commands with which malcolm clients get what is offered.
func (s *Serve) Commands(e serve.Ready) []string {
	lines := []string{s.text.pasteable(e.Addrs)}
	if ticket := ticketOf(e, s.text.host); ticket != "" {
		lines = append(lines, "malcolm get "+s.text.tokenFlag()+human.ShellQuote(ticket))
	}
	return lines
}

// greetWeb says how browsers and curl get what is offered.
func (v *serveText) greetWeb(e serve.Ready) {
	if !v.offer.Web.HTTPS || len(e.Addrs) == 0 || v.host.linkLocal {
		return
	}
	address := "https://" + net.JoinHostPort(v.host.host, portOf(e.Addrs[0]))
	switch {
	case v.offer.Token:
		v.Say("links for browsers and curl: %s", v.Green("malcolm link --token @FILE --url "+address+" "+human.ShellQuote(e.Name)))
	case v.offer.Web.Own:
		v.Say("for browsers, curl and aria2: %s", v.Green(address+"/"))
	default:
		v.Say("in a browser: %s", v.Green(address+"/"))
	}
	if v.offer.Web.Own {
		pin := base64.StdEncoding.EncodeToString(e.Pin[:])
		v.Say("browsers warn without --tls-cert; curl is sure of this server with: %s", v.Green("-k --pinnedpubkey 'sha256//"+pin+"'"))
	}
}
