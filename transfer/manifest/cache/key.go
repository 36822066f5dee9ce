package cache

import (
	"encoding/binary"
	"io/fs"
	"math"
	"time"

	"malcolm/wire"
)

// A Key identifies the version of a local file without reading it: the file,
// and the moment of its last change, as the file system names them. Equal keys
// mean the same version. A write, a truncation, a chmod, a new hard link and a
// rename over the file all make another key (POSIX sets the change time in each
// of them); reading does not.
//
// File systems count time in ticks, of up to 2 s on FAT. So a change within a
// tick can leave the key the same. [Key.Settled] says when it cannot.
type Key struct {
	Device, Inode       uint64
	Size                int64 // bytes
	ModTime, ChangeTime int64 // nanoseconds since 1970, UTC
}

// keyLen is the length of an encoded Key in bytes.
const keyLen = 5 * 8

// settleTime is the least time between the last change and the hashing: the
// coarsest tick of a file system in use, that of FAT.
const settleTime = 2 * time.Second

// KeyOf returns the key of the file that info describes. It returns false if
// the system tells too little to know versions apart:
//
//   - always on Windows and AIX, where Stat returns no inode or no change time;
//   - for anything but a regular file;
//   - if the file system keeps no change time;
//   - for times that 64 bits of nanoseconds do not hold (before 1678, after
//     2261).
func KeyOf(info fs.FileInfo) (Key, bool) {
	if !info.Mode().IsRegular() || !validSize(info.Size()) {
		return Key{}, false
	}
	st, ok := statusOf(info)
	if !ok {
		return Key{}, false
	}
	modified, ok1 := st.modified.nanoseconds()
	changed, ok2 := st.changed.nanoseconds()
	if !ok1 || !ok2 || changed == 0 {
		return Key{}, false
	}
	return Key{Device: st.device, Inode: st.inode, Size: info.Size(), ModTime: modified, ChangeTime: changed}, true
}

// Settled reports whether every change after hashingBegan changes the key: both
// its times are more than 2 s before that. A time in the future never settles.
// A version whose key is not settled must not be cached.
func (k Key) Settled(hashingBegan time.Time) bool {
	latest := time.Unix(0, max(k.ModTime, k.ChangeTime))
	return latest.Before(hashingBegan.Add(-settleTime))
}

func validSize(size int64) bool { return size >= 0 && size <= wire.MaxFileSize }

// append appends the encoding, keyLen bytes.
func (k Key) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, k.Device)
	b = binary.BigEndian.AppendUint64(b, k.Inode)
	b = binary.BigEndian.AppendUint64(b, uint64(k.Size))
	b = binary.BigEndian.AppendUint64(b, uint64(k.ModTime))
	return binary.BigEndian.AppendUint64(b, uint64(k.ChangeTime))
}

// A status is what a Key needs from the system.
type status struct {
	device, inode     uint64
	modified, changed timespec
}

// A timespec is the system's time since 1970: seconds, and nanoseconds below
// 1e9 on top of them.
type timespec struct{ sec, nsec int64 }

// nanoseconds returns false if the time does not fit.
func (t timespec) nanoseconds() (int64, bool) {
	const most = math.MaxInt64/int64(time.Second) - 1
	if t.sec < -most || t.sec > most || t.nsec < 0 || t.nsec >= int64(time.Second) {
		return 0, false
	}
	return t.sec*int64(time.Second) + t.nsec, true
}
