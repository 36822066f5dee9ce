// Package hostile has the peers that mean harm, for tests only: a malicious
// server and an attacking client. Both speak malcolm/1 by hand, over whatever
// sockets a test gives them, simulated or real.
package hostile
