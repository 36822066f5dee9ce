package transfer

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"malcolm/certs"
	"malcolm/transfer/localfile"
	"malcolm/transfer/pace"
	"malcolm/transfer/partfile"
	"malcolm/transfer/presence"
	"malcolm/transfer/schedule"
	"malcolm/transfer/vote"
	"malcolm/transport"
	"malcolm/wire"
)

// DefaultConnectTimeout and DefaultPatience are what GetConfig means by zero.
const (
	DefaultConnectTimeout = 5 * time.Second
	DefaultPatience       = 15 * time.Minute
)

const (
	// pieceSize and pieces bound the memory in which a client holds what it is
	// reading.
	pieceSize = 128 << 10
	pieces    = 128
	// tickTime is the time between two looks at what has arrived.
	tickTime = 100 * time.Millisecond
)

// A Target is one virtual server as the user names it.
type Target struct {
	Host string // a name or an IP address, without brackets
	Port uint16

	// name is what the user called a host of which Host is one address of several;
	// empty when Host is what the user called it.
	name string
}

// typed returns what the user called the host.
func (t Target) typed() string {
	if t.name != "" {
		return t.name
	}
	return t.Host
}

// String returns the target as host:port, IPv6 addresses in brackets.
func (t Target) String() string {
	return net.JoinHostPort(t.Host, strconv.Itoa(int(t.Port)))
}

// GetConfig says what [Get] copies, from where and to where.
type GetConfig struct {
	// Targets are the servers, at least one.
	Targets []Target
	// Dir is the directory that is written into; it must exist.
	Dir string
	// Name is what the file is to be called; empty: what the servers say.
	Name string
	// Resume keeps the good chunks of an unfinished download; Force starts
	// over, or replaces a file that is there (see partfile.Decide).
	Resume, Force bool
	// SkipPreallocate leaves the unfinished file sparse; SkipSpaceCheck does not
	// ask for free space first, for file systems that lie about it.
	SkipPreallocate, SkipSpaceCheck bool
	// AllAddresses makes a server of each address that a host name has.
	AllAddresses bool
	// Connections is how many connections to have with each server, 1 to 64; 0:
	// one, and more while that makes the whole quicker.
	Connections int
	// SplitLinks lets Repair replace a file that has other names: these keep the
	// old bytes.
	SplitLinks bool
	// Recheck reads the whole file back from the disk before it gets its name.
	Recheck bool
	// Checksum is the BLAKE3 that the file must have; nil: the majority
	// decides.
	Checksum *[32]byte
	// SHA256 is what the finished file must have as well; it is read once more
	// for it, before it gets its name. It decides nothing in the vote. Nil: not
	// asked.
	SHA256 *[32]byte
	// Quorum is how many votes the majority must have; 0 means one. See [MostVotes].
	Quorum int
	// Trust says which servers are accepted by their IDs.
	Trust Trust
	// RemoteTime gives the finished file the modification time that most servers
	// of the majority name. A file that is there already keeps its own.
	RemoteTime bool
	// Limit is how many bytes of the file a second are taken from all servers
	// together; 0 means no limit.
	Limit int64
	// MaxSize is the size in bytes of the largest file that is written; one that
	// is voted for and larger is refused before anything is. 0 means
	// wire.MaxFileSize, and so does more.
	MaxSize int64
	// ConnectTimeout is how long a server may take to answer; Patience how long
	// one may go on saying that it is indexing, and how long bytes may be wanted
	// that nobody sends (see package presence). 0 means the default.
	ConnectTimeout, Patience time.Duration
	// Interval is the time between progress events; 0 means none.
	Interval time.Duration
	// Events is told what happens, one event at a time, always from the
	// goroutine that called Get. It must not block for long. Nil means that
	// nobody is told.
	Events func(GetEvent)
	// Map keeps a [ChunkMark] of each chunk, one byte, for Progress and Result.
	Map bool
	// QLog gets the packets of all connections; nil: nobody.
	QLog *transport.QLog
	// Network is the way to the servers; nil: the system's.
	Network Network

	// open is how a directory is worked in; nil: partfile.Dir. Tests give one
	// that fails.
	open func(*os.Root) partfile.FS
}

// Result is what [Get] did, as far as it came: a failed run has one too.
type Result struct {
	Path         string // of the finished file; empty when there is none
	Part         string // of the unfinished file that was kept; empty when there is none
	Name         string // as voted or chosen; empty before the vote
	Size         int64  // in bytes
	Checksum     [32]byte
	AlreadyRight bool          // nothing was fetched: the file was there
	Elapsed      time.Duration // from the call to the end
	Fetched      int64         // bytes that were fetched and found good
	Resumed      int64         // bytes that were kept from an earlier run
	Duplicate    int64         // bytes that arrived for nothing: second copies, and the rest of what was cancelled
	Refetched    int64         // bytes that had to be fetched again: refused chunks, and damage to what an earlier run left
	Servers      []ServerReport
	Map          ChunkMap // nil unless GetConfig.Map asked for it
}

// Get copies one file from several servers. It returns when the file lies
// under its final name and is durable, or with an error that [KindOf] tells
// apart. When ctx ends, it keeps the unfinished file, returns within two
// seconds, and the error is ctx's cause.
func Get(ctx context.Context, cfg GetConfig) (*Result, error) {
	return overSizes(ctx, cfg, func(g *getting) error { return g.run(ctx) })
}

// finish completes the result of a run that has ended.
func (g *getting) finish() *Result {
	for _, f := range g.fetches { // joined, but not heard of by the loop any more
		if g.ending != nil && g.ending.left {
			break
		}
		g.result.Duplicate += f.useless()
		if f.rest != nil {
			g.result.Duplicate += f.rest.at
		}
	}
	for _, rest := range g.partials {
		g.result.Duplicate += rest.at
	}
	g.result.Elapsed = time.Since(g.begun)
	g.result.Servers = g.reports()
	return &g.result
}

func newGetting(ctx context.Context, cfg GetConfig) *getting {
	if cfg.ConnectTimeout <= 0 {
		cfg.ConnectTimeout = DefaultConnectTimeout
	}
	if cfg.Patience <= 0 {
		cfg.Patience = DefaultPatience
	}
	if cfg.MaxSize <= 0 {
		cfg.MaxSize = wire.MaxFileSize
	}
	if cfg.Network == nil {
		cfg.Network = SystemNetwork{}
	}
	if cfg.open == nil {
		cfg.open = partfile.Dir
	}
	if cfg.AllAddresses {
		cfg.Targets = spread(ctx, cfg.Network, cfg.Targets, cfg.ConnectTimeout)
	}
	g := &getting{
		cfg:      cfg,
		begun:    time.Now(),
		inbox:    make(chan func(), 256),
		limit:    pace.NewLimiter(cfg.Limit),
		pieces:   newBufferPool(pieces, pieceSize),
		windows:  transport.NewWindowBudget(transport.DefaultWindows),
		seconds:  semaphore.NewWeighted(secondsTotal),
		met:      meetings{at: make(map[netip.AddrPort]*peer), hosts: make(map[netip.Addr]string), told: make(map[string]bool)},
		fetches:  make(map[int]*fetch),
		partials: make(map[int]*partial),
		presence: presence.New(len(cfg.Targets), cfg.Patience),
	}
	for i, t := range cfg.Targets {
		g.peers = append(g.peers, &peer{index: i, target: t, down: make(chan struct{}, 1)})
	}
	return g
}

// getting is one run of Get. Everything below "loop" belongs to the goroutine
// that called Get; the rest is safe for all.
type getting struct {
	cfg     GetConfig
	begun   time.Time
	inbox   chan func() // closures for the loop
	limit   *pace.Limiter
	pieces  *bufferPool
	windows *transport.WindowBudget
	seconds *semaphore.Weighted // bytes of second copies
	wg      sync.WaitGroup
	stopped <-chan struct{} // closed when the loop no longer reads the inbox
	halt    func()          // ends and joins everything that runs beside the loop
	ending  *joiner

	// Made before any fetcher starts, and not changed while one runs.
	manifest wire.Manifest
	part     *partfile.File
	store    chunkStore     // the part file, or the window of a stream
	streams  bool           // there is no file
	seed     *seed          // a local file that has chunks already; nil: none
	original *partfile.Info // the file that is repaired; nil: none

	hasManifest  atomic.Bool
	checkBuffers sync.Once

	// loop
	peers     []*peer
	met       meetings
	ballot    *vote.Ballot
	voted     *vote.Group // nil before the vote is decided
	answers   int         // how many servers have answered
	presence  *presence.Presence
	asking    *asking // for the manifest; nil: not now
	source    *peer   // whose manifest was taken
	schedule  *schedule.Schedule
	layout    schedule.Config
	growth    *schedule.Growth
	cpu       cpuMeter
	fetches   map[int]*fetch  // by range ID
	fetching  context.Context // of the fetches
	meter     pace.Meter
	arrived   int64 // bytes since the last sample
	checked   int64 // bytes of an earlier run that were looked at
	toCheck   int64 // of so many
	space     reservation
	hashed    *atomic.Int64    // bytes hashed of the file that has the final name; nil: not doing that
	differs   bool             // a ListDiffers was told
	forgetful bool             // a NotRemembered was told
	partials  map[int]*partial // by chunk: what ranges that ended early had of it
	fatal     error
	size      otherSize
	result    Result
}

func (g *getting) run(ctx context.Context) error {
	ctx, t := g.begin(ctx)
	defer g.end(t)
	root, err := obtain(ctx, g, t, func(context.Context) (*os.Root, error) { return openDir(g.cfg.Dir) })
	if err != nil {
		return err
	}
	defer func() {
		if !g.ending.left { // else it is still in use, and closed when it is not
			root.Close()
		}
	}()
	if err := g.vote(ctx, t); err != nil {
		return err
	}
	if g.size.again {
		if err := g.obtainManifest(ctx, t); err != nil {
			return err
		}
		if err := g.proveSize(ctx, t); err != nil {
			return err
		}
	}
	fsys := g.cfg.open(root)
	decision, err := g.decide(ctx, t, fsys)
	if err != nil || g.result.AlreadyRight {
		return err
	}
	if !g.size.again {
		if err := g.obtainManifest(ctx, t); err != nil {
			return err
		}
	}
	return g.fill(ctx, t, fsys, decision)
}

// begin prepares the loop. Everything that runs beside it ends with the context
// that is returned, and is joined by halt.
func (g *getting) begin(ctx context.Context) (context.Context, *clocks) {
	g.ending = newJoiner(ctx)
	ctx, cancel := context.WithCancelCause(ctx)
	g.stopped = ctx.Done()
	g.halt = func() {
		cancel(errEnded)
		g.ending.run(g.wg.Wait)
	}
	return ctx, g.startClocks()
}

func (g *getting) end(t *clocks) {
	g.halt()
	g.ending.end()
	t.stop()
}

// fill fetches what is missing and gives the file its name.
func (g *getting) fill(ctx context.Context, t *clocks, fsys partfile.FS, d partfile.Decision) (err error) {
	var modTime *time.Time
	if g.cfg.RemoteTime {
		if modTime = g.remoteTime(); modTime == nil {
			g.emit(NoModTime{})
		}
	}
	g.part, err = obtain(ctx, g, t, func(ctx context.Context) (*partfile.File, error) {
		return partfile.Open(ctx, fsys, partfile.Options{
			Name: g.result.Name, Size: g.layout.Size, ChunkSize: g.layout.ChunkSize, Checksum: g.result.Checksum,
			Action: d.Action, Replace: d.Replace, Original: g.original, ModTime: modTime,
			SkipPreallocate: g.cfg.SkipPreallocate, SkipSpaceCheck: g.cfg.SkipSpaceCheck,
			Lacks:    func(l partfile.Lack) { g.post(func() { g.emit(Lacks(l)) }) },
			Reserved: func(done int64) { g.post(func() { g.space.reached(done, time.Now()) }) },
		})
	})
	defer func() { err = g.leavePart(fsys, err) }()
	if err != nil {
		return err
	}
	g.tellLost(nil)
	g.store = partStore{g.part}
	if err := g.fetchAll(ctx, t); err != nil {
		return err
	}
	if err := g.readBack(ctx, t); err != nil {
		return err
	}
	g.emit(Finishing{})
	told := g.part.Lost()
	g.result.Path, err = obtain(ctx, g, t, func(context.Context) (string, error) { return g.part.Commit() })
	if g.result.Path == "" {
		return err
	}
	g.tellLost(told)
	g.tellMoved(fsys.Path(g.result.Name), g.result.Path)
	// The file is there, also when ctx ended meanwhile: what is still to be said
	// of a server with a wrong chunk is said, and changes nothing.
	_ = g.loop(ctx, t, func() bool { return !g.judging() })
	return nil
}

// tellLost tells what of the file that is replaced cannot be kept, but for what was
// told before.
func (g *getting) tellLost(told []partfile.Lost) {
	for _, lost := range g.part.Lost() {
		if !slices.ContainsFunc(told, func(l partfile.Lost) bool { return l.What == lost.What }) {
			g.emit(NotKept{Path: g.part.Path(), What: lost.What, Err: lost.Err})
		}
	}
}

// leavePart ends the use of the part file. What was marked of an unfinished one
// is made durable first; that it could not be is told unless err is a worse
// thing to tell.
func (g *getting) leavePart(fsys partfile.FS, err error) error {
	g.halt()
	unfinished := g.result.Path == ""
	var failed error
	var path string
	switch {
	case g.ending.left: // the disk hangs: it is not asked again
	case g.part == nil:
		return err
	case g.ending.run(func() {
		if unfinished {
			failed = g.part.Checkpoint()
		}
		g.part.Close()
		if unfinished {
			path = existing(fsys, g.result.Name)
		}
	}):
		g.result.Part = path
		if failed != nil && KindOf(err) != KindLocal {
			err = failed
		}
		return err
	}
	if unfinished {
		g.result.Part = fsys.Path(g.result.Name + partfile.PartSuffix)
	}
	return err
}

// tellMoved tells of a path that is another one than the user expects.
func (g *getting) tellMoved(from, to string) {
	if from != to {
		g.emit(OutputMoved{Path: to})
	}
}

// existing returns the path of the part file if there is one.
func existing(fsys partfile.FS, name string) string {
	name += partfile.PartSuffix
	if info, err := fsys.Lstat(name); err != nil || info.Kind != partfile.Regular {
		return ""
	}
	if path, err := partfile.PathNow(fsys, name); err == nil {
		return path
	}
	return fsys.Path(name)
}

func openDir(dir string) (*os.Root, error) {
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &NotDirectoryError{Path: dir, Missing: true}
	}
	if err != nil {
		return nil, &localfile.Error{Op: "open", Path: dir, Err: err}
	}
	if !info.IsDir() {
		return nil, &NotDirectoryError{Path: dir}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, &localfile.Error{Op: "open", Path: dir, Err: err}
	}
	return root, nil
}

// A peer is one server of the command line.
type peer struct {
	index  int
	target Target
	ctx    context.Context    // of its contact: for as long as it may be of use
	stop   context.CancelFunc // ends ctx; any goroutine may call it
	down   chan struct{}      // receives when a contact's server has no connection left
	remote atomic.Pointer[netip.AddrPort]

	// loop
	conns     []*connection // connections; none unless it takes part or waits for the vote
	opening   int           // connections that are being made
	openAfter time.Time     // no further connection is tried before
	openPause time.Duration // how long none was tried the last time; 0: there was no reason
	id        certs.ServerID
	accepted  bool // its ID was, behind all checks
	offer     wire.Offer
	rtt       time.Duration // when it made the offer; smoothed
	state     PeerState
	err       error
	rank      int           // 0 for the first server that answered
	inline    wire.Manifest // that came with the offer; the zero Manifest: none
	indexed   float64       // 0 to 1 while it is indexing
	judging   bool          // a wrong chunk of it is being looked into
	bytes     int64         // of chunks that were found good
	arrived   int64         // bytes of ranges, good or not
	sampled   int64         // arrived at the last sample
	bad       int           // chunks that were refused
	full      bool          // that it is full was told
	failed    error         // why it was lost, or a range ended early, the last time
	doubted   bool          // its manifest was refused before
	tried     bool          // its size came to nothing in an earlier run; it is not asked again
	failures  int           // tries to reach it that failed, since it was last heard of
	sign      presence.Sign // of it, since the last tick
}
