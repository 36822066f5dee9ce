package cache

import (
	"io/fs"
	"time"
)

// A Stamp is a [Key] without the size, in 24 bytes: what the system says of one
// version of a file. The zero Stamp is of no version.
type Stamp struct {
	File                uint64 // made of device and inode; 0: the system does not tell
	ModTime, ChangeTime int64  // nanoseconds since 1970; ChangeTime 0: the system does not tell
}

// spread keeps small numbers of devices and inodes apart.
const spread = 0x9e3779b97f4a7c15

// StampOf returns the stamp of the file that info describes. Where [KeyOf]
// returns false it has a time of modification only.
func StampOf(info fs.FileInfo) Stamp {
	k, ok := KeyOf(info)
	if !ok {
		return Stamp{ModTime: info.ModTime().UnixNano()}
	}
	return Stamp{File: (k.Device+1)*spread ^ k.Inode, ModTime: k.ModTime, ChangeTime: k.ChangeTime}
}

// Settled reports whether every change after hashingBegan changes the stamp, as
// [Key.Settled] does; false where the system tells too little.
func (s Stamp) Settled(hashingBegan time.Time) bool {
	return s.ChangeTime != 0 && Key{ModTime: s.ModTime, ChangeTime: s.ChangeTime}.Settled(hashingBegan)
}
