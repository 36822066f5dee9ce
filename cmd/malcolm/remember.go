package main

import (
	"time"

	"malcolm/certs"
	"malcolm/transfer/paths"
	"malcolm/transfer/paths/disk"
)

// saveTime is how long the disk may take to keep what is remembered. A network
// file system that hangs must not hold up the end of a run.
const saveTime = 500 * time.Millisecond

// remember lets the run begin with what earlier runs found out about the ways
// to its servers, and keeps what it finds out itself. If there is no place for
// that, or it is damaged, the run begins without: -v says why.
func (q *query) remember(t *terminal) {
	dir, err := certs.CacheDir()
	if err != nil {
		t.Explain("the ways to the servers are not remembered: %s", err.Error())
		return
	}
	table, err := disk.Load(dir)
	if err != nil {
		t.Explain("the ways to the servers are not remembered: %s", err.Error())
	}
	memory := paths.NewMemory(table, disk.Network)
	q.reach.Paths, q.servers.Paths = memory, memory
	q.save = func() {
		saved := make(chan error, 1)
		go func() { saved <- disk.Save(dir, memory.Noted(), time.Now()) }()
		select {
		case err = <-saved:
		case <-time.After(saveTime):
			t.Explain("the ways to the servers are not remembered: the disk is too slow")
			return
		}
		if err != nil {
			t.Explain("the ways to the servers are not remembered: %s", err.Error())
		}
	}
}
