package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// unknown replaces a number that could not be measured.
const unknown = -1

// tick is the unit of the times in /proc/PID/stat: USER_HZ, which is 100 on
// every system that Go runs on.
const tick = 10 * time.Millisecond

// A procStat is the part of /proc/PID/stat that this program needs.
type procStat struct {
	parent int
	ticks  uint64 // user and system, of the process and of its children that have ended
}

// parseStat reads /proc/PID/stat (proc_pid_stat(5)). The command's name, in
// parentheses, may hold anything.
func parseStat(text string) (procStat, bool) {
	i := strings.LastIndexByte(text, ')')
	if i < 0 {
		return procStat{}, false
	}
	const state, ppid, utime, cstime = 3, 4, 14, 17
	fields := strings.Fields(text[i+1:])
	if len(fields) <= cstime-state {
		return procStat{}, false
	}
	parent, err := strconv.Atoi(fields[ppid-state])
	if err != nil {
		return procStat{}, false
	}
	s := procStat{parent: parent}
	for _, f := range fields[utime-state : cstime-state+1] {
		n, err := strconv.ParseUint(f, 10, 64)
		if err != nil {
			return procStat{}, false
		}
		s.ticks += n
	}
	return s, true
}

// parseHWM reads VmHWM of /proc/PID/status, in bytes.
func parseHWM(status []byte) int64 {
	for line := range bytes.Lines(status) {
		if rest, ok := bytes.CutPrefix(line, []byte("VmHWM:")); ok {
			kib, err := strconv.ParseInt(string(bytes.TrimSuffix(bytes.TrimSpace(rest), []byte(" kB"))), 10, 64)
			if err != nil {
				return unknown
			}
			return kib << 10
		}
	}
	return unknown
}

// parseDropped adds up the UDP datagrams that were not delivered, from
// /proc/net/snmp followed by /proc/net/snmp6. It counts InErrors, which contain
// RcvbufErrors.
func parseDropped(text string) int64 {
	var names []string
	sum, found := int64(0), false
	add := func(digits string) {
		if n, err := strconv.ParseInt(digits, 10, 64); err == nil {
			sum, found = sum+n, true
		}
	}
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		switch {
		case len(fields) == 2 && fields[0] == "Udp6InErrors":
			add(fields[1])
		case len(fields) > 1 && fields[0] == "Udp:" && names == nil:
			names = fields
		case len(fields) > 1 && fields[0] == "Udp:" && len(fields) == len(names):
			for i, name := range names {
				if name == "InErrors" {
					add(fields[i])
				}
			}
		}
	}
	if !found {
		return unknown
	}
	return sum
}

// parseListens reports whether /proc/PID/net/tcp has a listening socket on
// port.
func parseListens(text string, port int) bool {
	const listening = "0A"
	want := fmt.Sprintf(":%04X", port)
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) > 3 && strings.HasSuffix(fields[1], want) && fields[3] == listening {
			return true
		}
	}
	return false
}

func readProc(pid int, name string) []byte {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, name))
	if err != nil {
		return nil
	}
	return text
}

// hwm returns the most bytes that a process had resident.
func hwm(pid int) int64 { return parseHWM(readProc(pid, "status")) }

// descendants returns root and the processes that come from it, with their
// stat; empty without /proc.
func descendants(root int) map[int]procStat {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	all := make(map[int]procStat)
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if s, ok := parseStat(string(readProc(pid, "stat"))); ok {
			all[pid] = s
		}
	}
	return family(all, root)
}

// family returns the processes of all that come from root.
func family(all map[int]procStat, root int) map[int]procStat {
	found := make(map[int]procStat)
	for pid, s := range all {
		for up := pid; ; {
			if up == root {
				found[pid] = s
				break
			}
			next, ok := all[up]
			if !ok || next.parent == up {
				break
			}
			up = next.parent
		}
	}
	return found
}

// treeCPU returns the CPU seconds of a process and its descendants.
func treeCPU(root int) float64 {
	tree := descendants(root)
	if len(tree) == 0 {
		return unknown
	}
	var ticks uint64
	for _, s := range tree {
		ticks += s.ticks
	}
	return (time.Duration(ticks) * tick).Seconds()
}

// treeHWM adds up hwm of a process and its descendants.
func treeHWM(root int) int64 {
	sum := int64(unknown)
	for pid := range descendants(root) {
		if n := hwm(pid); n > 0 {
			sum = max(sum, 0) + n
		}
	}
	return sum
}

// memAvailable returns the bytes of memory that are free for use, or unknown.
func memAvailable() int64 {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return unknown
	}
	for line := range bytes.Lines(text) {
		if fields := bytes.Fields(line); len(fields) == 3 && string(fields[0]) == "MemAvailable:" {
			if kib, err := strconv.ParseInt(string(fields[1]), 10, 64); err == nil {
				return kib << 10
			}
		}
	}
	return unknown
}
