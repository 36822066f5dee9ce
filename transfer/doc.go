// Package transfer is what malcolm does: [Serve] offers one file on several
// virtual servers, [Get] copies it from several servers at once and proves
// that what arrived is what most of them hold.
//
// The way data takes:
//
//	serve   source -> index -> offer, manifest; range: read -> limit -> stream
//	get     targets -> contact all at once -> offers -> vote -> manifest ->
//	        part file -> loop <-> one fetcher a stream -> commit
//
// Decisions live in the rooms below, pure and without a network: manifest
// (chunks and hashes), vote, schedule, presence, admission. The disk belongs to
// partfile (the bytes that are written), localfile (the file that is read) and
// manifest/cache (hashes of files that have not changed); rates to pace.
// This package holds the effects: goroutines, connections, time.
//
// In [Get] one goroutine, the loop, owns all state: it runs the vote and the
// schedule, calls the event function, and starts and joins everything else.
// Goroutines that wait for the network or the disk send it closures to run.
package transfer
