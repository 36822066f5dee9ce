package crashfs

import "time"

// The operations of a Disk are those of its Root.

// Path is name as shown to people.
func (d *Disk) Path(name string) string { return "/simulated/" + name }

// Lstat returns what is known of name.
func (d *Disk) Lstat(name string) (Info, error) { return d.Root().Lstat(name) }

// Create makes a new file, and opens it.
func (d *Disk) Create(name string) (*File, error) { return d.Root().Create(name) }

// CreateExecutable is Create, of a file that may be executed.
func (d *Disk) CreateExecutable(name string) (*File, error) { return d.Root().CreateExecutable(name) }

// Open opens an existing file.
func (d *Disk) Open(name string) (*File, error) { return d.Root().Open(name) }

// OpenWrite opens an existing file.
func (d *Disk) OpenWrite(name string) (*File, error) { return d.Root().OpenWrite(name) }

// OpenDir opens a directory.
func (d *Disk) OpenDir(name string) (*Dir, error) { return d.Root().OpenDir(name) }

// Mkdir makes a directory.
func (d *Disk) Mkdir(name string) error { return d.Root().Mkdir(name) }

// Symlink makes a link.
func (d *Disk) Symlink(target, name string) error { return d.Root().Symlink(target, name) }

// Readlink returns a link's target.
func (d *Disk) Readlink(name string) (string, error) { return d.Root().Readlink(name) }

// SetTime sets the modification time, durably.
func (d *Disk) SetTime(name string, t time.Time) error { return d.Root().SetTime(name, t) }

// EachName yields the names in order.
func (d *Disk) EachName(yield func(name string) bool) error { return d.Root().EachName(yield) }

// RenameNoReplace renames, and never replaces.
func (d *Disk) RenameNoReplace(from, to string) error { return d.Root().RenameNoReplace(from, to) }

// Rename replaces what has the new name.
func (d *Disk) Rename(from, to string) error { return d.Root().Rename(from, to) }

// Link gives a file a second name.
func (d *Disk) Link(from, to string) error { return d.Root().Link(from, to) }

// Remove takes a file's name, or that of an empty directory.
func (d *Disk) Remove(name string) error { return d.Root().Remove(name) }

// SyncDir makes the names durable.
func (d *Disk) SyncDir() error { return d.Root().SyncDir() }

// Free returns how many bytes may still be stored.
func (d *Disk) Free() (int64, error) { return d.Root().Free() }

// FreeFiles returns how many files and directories may still be made.
func (d *Disk) FreeFiles() (int64, error) { return d.Root().FreeFiles() }

// LongestName is that of most file systems.
func (d *Disk) LongestName() (int, error) { return d.Root().LongestName() }
