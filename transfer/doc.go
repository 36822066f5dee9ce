// Package transfer holds no code. It is the map of what malcolm does, and the
// world in which its two ends are tested: a network, disks and processes in
// virtual time.
//
// The two ends are [malcolm/transfer/serve], which offers a file on several
// virtual servers, and [malcolm/transfer/fetch], a session over sources, which
// copies what most of them hold and proves it. Neither imports the other.
//
// The way data takes:
//
//	serve   file -> index -> offer, values; range: read -> limit -> stream
//	fetch   sources -> contact all at once -> offers -> vote -> values ->
//	        part file -> loop <-> one fetcher a range -> commit
//
// Small rooms make their decisions, without a network, a goroutine or a clock:
//
//	vote       which file most servers hold
//	schedule   who fetches what next
//	growth     over how many connections
//	presence   who is there, and when a run gives up
//	admission  whom a server lets in, who goes, and who has which memory
//	manifest   chunks, their values and how they merge
//
// The others touch the world:
//
//	source     the port through which a file comes; source/malcolm is a server
//	           over QUIC, source/sourcetest one without a network
//	partfile   the unfinished file, its journal, and how it gets its name
//	localfile  a file by its name
//	pace       rates: limits and meters
//	manifest/cache  hashes of files that have not changed
//	hostile    a malicious server and an attacker, for tests only
package transfer
