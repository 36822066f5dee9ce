package view

// The events of --json, as schema.json describes them. No field is ever left
// out. Sizes and offsets are in bytes, rates in bytes a second, round trips and
// durations in seconds; "" is an ID or checksum that is not known.

// A head is the beginning of every event.
type head struct {
	Event string `json:"event"`
	V     int    `json:"v"`
}

// The events of get, repair, verify and demo.
type (
	startEvent struct {
		head
		Time    string   `json:"time"`
		Servers []string `json:"servers"`
	}
	serverEvent struct {
		head
		Address string `json:"address"`
		Source  string `json:"source"` // server, mirror
		ID      string `json:"id"`
		State   string `json:"state"`
		Reason  string `json:"reason"`
		// Transport is what carries the connection, or the last one.
		Transport string `json:"transport"`
	}
	udpBlockedEvent struct {
		head
		Address string `json:"address"`
		Refused bool   `json:"refused"`
	}
	wayRefusedEvent struct {
		head
		Address   string `json:"address"`
		ID        string `json:"id"`        // that the server has
		OtherID   string `json:"other_id"`  // that was proved over the other transport
		Transport string `json:"transport"` // the one that is used
	}
	transportChangedEvent struct {
		head
		Address   string `json:"address"`
		ID        string `json:"id"`
		Transport string `json:"transport"` // from now on
		Reason    string `json:"reason"`
		Rate      int64  `json:"rate"`   // over it, bytes a second; 0: not measured
		Before    int64  `json:"before"` // over the former one, likewise
	}
	voteEvent struct {
		head
		Name   string      `json:"name"`
		Votes  int         `json:"votes"` // in all
		Groups []voteGroup `json:"groups"`
		// ChosenVotes are for what is chosen of the majority's
		// directory, if they decided; else 0.
		ChosenVotes int    `json:"chosen_votes"`
		Majority    string `json:"majority"` // checksum
	}
	voteGroup struct {
		Kind     string   `json:"kind"` // file, tree
		Checksum string   `json:"checksum"`
		Size     int64    `json:"size"` // of a directory: of its listing
		Votes    int      `json:"votes"`
		Hosts    []string `json:"hosts"`
		IDs      []string `json:"ids"`
		Servers  []string `json:"servers"`
	}
	// unprovedEvent says that mirrors agree on the size of a file that is
	// proved only at the end.
	unprovedEvent struct {
		head
		Size    int64    `json:"size"`
		Sum     string   `json:"sum"`  // what proves it
		Kind    string   `json:"kind"` // of the sum: blake3, sha256
		Servers []string `json:"servers"`
		Untied  []string `json:"untied"` // of these, whose ranges only the size ties together
	}
	contradictedEvent struct {
		head
		Address   string `json:"address"`
		ID        string `json:"id"`
		Recorded  string `json:"recorded_id"`
		FirstSeen string `json:"first_seen"`
		Updated   bool   `json:"updated"`
	}
	oneAddressEvent struct {
		head
		Hosts   []string `json:"hosts"`
		Address string   `json:"ip"`
	}
	progressEvent struct {
		head
		Phase      string           `json:"phase"`
		Bytes      int64            `json:"bytes"`
		TotalBytes int64            `json:"total_bytes"`
		Files      int              `json:"files"` // of a directory: that are done
		TotalFiles int              `json:"total_files"`
		Rate       int64            `json:"rate"`
		Servers    []progressServer `json:"servers"`
	}
	progressServer struct {
		Address     string  `json:"address"`
		ID          string  `json:"id"`
		State       string  `json:"state"`
		Bytes       int64   `json:"bytes"`
		Rate        int64   `json:"rate"`
		RTT         float64 `json:"rtt"`
		Connections int     `json:"connections"`
		BadChunks   int     `json:"bad_chunks"`
		Transport   string  `json:"transport"`
		Source      string  `json:"source"`
	}
	chunkRefusedEvent struct {
		head
		refusal
	}
	// refusal is a chunk that was refused.
	refusal struct {
		Address  string `json:"address"`
		ID       string `json:"id"`
		jsonPath        // of a directory's file
		Listing  bool   `json:"listing"` // of a directory
		Chunk    int    `json:"chunk"`
		Offset   int64  `json:"offset"`
		Bytes    int64  `json:"bytes"`
		Changed  bool   `json:"changed"`
	}
	serverLostEvent struct {
		head
		Address string `json:"address"`
		ID      string `json:"id"`
		State   string `json:"state"`
		Reason  string `json:"reason"`
		Left    int    `json:"left"` // -1: the vote is not over
	}
	serverBackEvent struct {
		head
		Address string `json:"address"`
		ID      string `json:"id"`
	}
	doneEvent struct {
		head
		Path           string       `json:"path"`
		Kind           string       `json:"kind"` // file, tree
		Files          int          `json:"files"`
		Directories    int          `json:"directories"` // empty ones
		Links          int          `json:"links"`
		Bytes          int64        `json:"bytes"`
		Seconds        float64      `json:"seconds"`
		Checksum       string       `json:"checksum"`
		Chosen         string       `json:"chosen"`   // of the listing of what was chosen; empty: everything
		Replaced       int          `json:"replaced"` // of a repaired directory: entries; else 0
		Made           int          `json:"made"`
		Removed        int          `json:"removed"`
		Extra          int          `json:"extra"` // that were left alone
		ResumedBytes   int64        `json:"resumed_bytes"`
		RefetchedBytes int64        `json:"refetched_bytes"`
		DuplicateBytes int64        `json:"duplicate_bytes"`
		Servers        []doneServer `json:"servers"`
		Refused        []refusal    `json:"refused"`
	}
	doneServer struct {
		Address   string `json:"address"`
		ID        string `json:"id"`
		Bytes     int64  `json:"bytes"`
		BadChunks int    `json:"bad_chunks"`
		State     string `json:"state"`
		Transport string `json:"transport"`
		Source    string `json:"source"`

		Lacked []jsonPath `json:"lacked"`
	}
	errorEvent struct {
		head
		Exit    int    `json:"exit"`
		Kind    string `json:"kind"`
		Message string `json:"message"`
		Hint    string `json:"hint"`
		Path    string `json:"path"` // of a file that is there all the same
	}
)

// A droppedEvent is in the place of events that are missing because stdout was
// read too slowly.
type droppedEvent struct {
	head
	Events  int `json:"events"`
	Reports int `json:"reports"` // progress, indexing, status: a later one replaced them
}

// The further events of verify, repair --dry-run, demo and trust.
type (
	mismatchEvent struct {
		head
		Chunk      int   `json:"chunk"`
		Offset     int64 `json:"offset"`
		Bytes      int64 `json:"bytes"`
		Unreadable bool  `json:"unreadable"`
	}
	verifiedEvent struct {
		head
		Path       string `json:"path"`
		Right      bool   `json:"right"`
		Bytes      int64  `json:"bytes"`       // of the local file
		TotalBytes int64  `json:"total_bytes"` // of the servers' file
		Checksum   string `json:"checksum"`
		BadChunks  int    `json:"bad_chunks"`
		Missing    int    `json:"missing"` // of a directory: its entries; else 0
		Differs    int    `json:"differs"`
		Extra      int    `json:"extra"`
		Unread     int    `json:"unread"`
	}
	comparedEvent struct {
		head
		Bytes int64 `json:"bytes"`
		Same  bool  `json:"same"`
	}
	knownServerEvent struct {
		head
		Address   string `json:"address"`
		ID        string `json:"id"`
		FirstSeen string `json:"first_seen"`
	}
	settingEvent struct {
		head
		Command string   `json:"command"`
		Flag    string   `json:"flag"`
		Values  []string `json:"values"`
		From    string   `json:"from"` // default, environment or file
		Place   string   `json:"place"`
	}
	versionEvent struct {
		head
		Version  string          `json:"version"`
		Revision string          `json:"revision"`
		Time     string          `json:"time"`
		Dirty    bool            `json:"dirty"`
		Go       string          `json:"go"`
		Platform string          `json:"platform"`
		Modules  []versionModule `json:"modules"`
	}
	versionModule struct {
		Path    string `json:"path"`
		Version string `json:"version"`
		Sum     string `json:"sum"`
	}
	forgottenEvent struct {
		head
		Server string `json:"server"`
		Count  int    `json:"count"`
	}
)

// The events of serve.
type (
	listeningEvent struct {
		head
		Time      string   `json:"time"`
		ID        string   `json:"id"`
		Addresses []string `json:"addresses"`     // of UDP
		TCP       []string `json:"tcp_addresses"` // those that listen on TCP too
		HTTP      string   `json:"http_address"`  // of HTTP without TLS; empty: it is not answered
	}
	indexingEvent struct {
		head
		File       string `json:"file"`
		Bytes      int64  `json:"bytes"`
		TotalBytes int64  `json:"total_bytes"`
		Files      int64  `json:"files"`
		TotalFiles int64  `json:"total_files"`
	}
	readyEvent struct {
		head
		File        string   `json:"file"`
		Kind        string   `json:"kind"`
		Bytes       int64    `json:"bytes"`
		Checksum    string   `json:"checksum"`
		Files       int      `json:"files"`
		Directories int      `json:"directories"`
		Links       int      `json:"links"`
		HardLinks   int      `json:"hard_links"`
		ID          string   `json:"id"`
		Ticket      string   `json:"ticket"`
		Addresses   []string `json:"addresses"`
	}
	statusEvent struct {
		head
		Servers []statusServer `json:"servers"`
	}
	statusServer struct {
		Address string `json:"address"`
		State   string `json:"state"`
		Clients int    `json:"clients"`
		HTTP    int    `json:"http_clients"` // of these, those that speak HTTP
		Ranges  int    `json:"ranges"`
		Bytes   int64  `json:"bytes"`
		Rate    int64  `json:"rate"`
		Lost    int64  `json:"packets_lost"`
	}
	clientEvent struct {
		head
		Address     string `json:"address"` // of a host: it may have several connections
		State       string `json:"state"`   // connected or gone
		Connections int    `json:"connections"`
		Ranges      int    `json:"ranges"`
		Bytes       int64  `json:"bytes"`
	}
	changedEvent struct {
		head
		File   string `json:"file"`
		Reason string `json:"reason"`
	}
	stoppedEvent struct {
		head
		Bytes int64 `json:"bytes"`
	}
)

// The events of a batch.
type (
	// batchFileEvent: the file of a line of the list is there, or failed.
	batchFileEvent struct {
		head
		Line     int          `json:"line"`
		State    string       `json:"state"` // done, there, failed
		Exit     int          `json:"exit"`
		Kind     string       `json:"kind"` // of the failure
		Message  string       `json:"message"`
		Hint     string       `json:"hint"`
		Path     string       `json:"path"`
		Bytes    int64        `json:"bytes"`
		Seconds  float64      `json:"seconds"`
		Checksum string       `json:"checksum"`
		Servers  []doneServer `json:"servers"`
		Refused  []refusal    `json:"refused"`
	}
	batchProgressEvent struct {
		head
		Files    int   `json:"files"`
		Done     int   `json:"done"`
		There    int   `json:"there"`
		Failed   int   `json:"failed"`
		UnderWay int   `json:"under_way"`
		Bytes    int64 `json:"bytes"`
		Rate     int64 `json:"rate"`
	}
	batchEvent struct {
		head
		Files   int     `json:"files"`
		Done    int     `json:"done"`
		There   int     `json:"there"`
		Failed  int     `json:"failed"`
		Bytes   int64   `json:"bytes"`
		Seconds float64 `json:"seconds"`
	}
)

func (h head) name() string { return h.Event }
