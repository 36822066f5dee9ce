package partfile

import "malcolm/transfer/partfile/crashfs"

// crashFS is a simulated directory as an FS. Its power can fail.
type crashFS struct{ *crashfs.Disk }

// newCrashFS has short sectors, so that a journal's record can be torn.
func newCrashFS(choose func(n int) int) *crashFS { return &crashFS{crashfs.New(16, choose)} }

func (c *crashFS) Lstat(name string) (Info, error) { return crashInfo(c.Disk.Lstat(name)) }

func (c *crashFS) Create(name string) (Handle, error) { return crashOpened(c.Disk.Create(name)) }

func (c *crashFS) Open(name string) (Handle, error) { return crashOpened(c.Disk.Open(name)) }

func (c *crashFS) OpenWrite(name string) (Handle, error) { return crashOpened(c.Disk.OpenWrite(name)) }

type crashHandle struct{ *crashfs.File }

func (h crashHandle) Stat() (Info, error) { return crashInfo(h.File.Stat()) }

func crashOpened(f *crashfs.File, err error) (Handle, error) {
	if err != nil {
		return nil, err
	}
	return crashHandle{f}, nil
}

func crashInfo(info crashfs.Info, err error) (Info, error) {
	kind := []Kind{Regular, Directory, Link}[info.Kind]
	return Info{Kind: kind, Size: info.Size, Allocated: info.Allocated, Links: info.Links, ID: ID{File: info.ID}}, err
}

func (c *crashFS) CreateExecutable(name string) (Handle, error) {
	return crashOpened(c.Disk.CreateExecutable(name))
}

func (c *crashFS) OpenDir(name string) (Folder, error) { return crashFolder(c.Disk.OpenDir(name)) }

// crashDir is a simulated directory of a crashFS.
type crashDir struct{ *crashfs.Dir }

func crashFolder(d *crashfs.Dir, err error) (Folder, error) {
	if err != nil {
		return nil, err
	}
	return crashDir{d}, nil
}

func (c crashDir) Lstat(name string) (Info, error) { return crashInfo(c.Dir.Lstat(name)) }

func (c crashDir) Stat() (Info, error) { return crashInfo(c.Dir.Stat()) }

func (c crashDir) Create(name string) (Handle, error) { return crashOpened(c.Dir.Create(name)) }

func (c crashDir) CreateExecutable(name string) (Handle, error) {
	return crashOpened(c.Dir.CreateExecutable(name))
}

func (c crashDir) Open(name string) (Handle, error) { return crashOpened(c.Dir.Open(name)) }

func (c crashDir) OpenWrite(name string) (Handle, error) { return crashOpened(c.Dir.OpenWrite(name)) }

func (c crashDir) OpenDir(name string) (Folder, error) { return crashFolder(c.Dir.OpenDir(name)) }
