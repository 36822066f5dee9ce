package partfile

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
)

// fakeFile has attributes without asking a system.
type fakeFile struct {
	a      Attributes
	refuse map[string]error // of changes, by "chmod", "uid", "gid", and names of extended attributes
	widest fs.FileMode      // all permission bits that it has had since only its owner could use it
}

func (f *fakeFile) Attributes() (Attributes, error) { return f.a, nil }

func (f *fakeFile) Chmod(mode fs.FileMode) error {
	if err := f.refuse["chmod"]; err != nil {
		return err
	}
	f.a.Mode = mode
	f.widest |= mode
	return nil
}

func (f *fakeFile) Chown(uid, gid int) error {
	if err := f.refuse["gid"]; err != nil && gid >= 0 {
		return err
	}
	if err := f.refuse["uid"]; err != nil && uid >= 0 {
		return err
	}
	if uid >= 0 {
		f.a.UID = uid
	}
	if gid >= 0 {
		f.a.GID = gid
	}
	return nil
}

func (f *fakeFile) SetExtended(name string, value []byte) error {
	if err := f.refuse[name]; err != nil {
		return err
	}
	if value == nil {
		delete(f.a.Extended, name)
	} else {
		f.a.Extended[name] = value
	}
	return nil
}

// Attributes that cannot be kept never let more people read the file than
// before.
func TestAttributesThatCannotBeKept(t *testing.T) {
	not := func(names ...string) map[string]error {
		m := make(map[string]error)
		for _, n := range names {
			m[n] = fs.ErrPermission
		}
		return m
	}
	acl := map[string][]byte{aclName: []byte("acl"), "user.x": []byte("1")}
	for _, test := range []struct {
		name   string
		want   Attributes
		refuse map[string]error
		mode   fs.FileMode // during, then of the finished file
		late   fs.FileMode
		lost   []string
	}{
		{"nothing is refused", Attributes{Mode: 0o640, UID: 7, GID: 8}, nil, 0o640, 0o640, nil},
		{"read-only", Attributes{Mode: 0o444, UID: 7, GID: 8}, nil, 0o644, 0o444, nil},
		{"setuid comes last", Attributes{Mode: 0o755 | fs.ModeSetuid, UID: 7, GID: 8}, nil, 0o755, 0o755 | fs.ModeSetuid, nil},
		{"owner", Attributes{Mode: 0o640, UID: 7, GID: 8}, not("uid"), 0o640, 0o640, []string{"owner"}},
		{"setuid of another owner", Attributes{Mode: 0o755 | fs.ModeSetuid, UID: 7, GID: 8}, not("uid"), 0o755, 0o755, []string{"owner"}},
		{"group", Attributes{Mode: 0o664, UID: 7, GID: 8}, not("gid"), 0o644, 0o644, []string{"group, with its rights,"}},
		{"both", Attributes{Mode: 0o660, UID: 7, GID: 8}, not("gid", "uid"), 0o600, 0o600, []string{"group, with its rights,", "owner"}},
		{"the same owner, another group", Attributes{Mode: 0o640, UID: 1, GID: 8}, not("gid"), 0o600, 0o600, []string{"group, with its rights,"}},
		{"access control list", Attributes{Mode: 0o664, UID: 1, GID: 1, Extended: acl}, not(aclName), 0o600, 0o600, []string{"access control list, with the rights of others,"}},
		{"extended attribute", Attributes{Mode: 0o664, UID: 1, GID: 1, Extended: acl}, not("user.x"), 0o664, 0o664, []string{`extended attribute "user.x"`}},
		{"they cannot be read", Attributes{Mode: 0o664, UID: 1, GID: 1, Unread: fs.ErrPermission}, nil, 0o600, 0o600, []string{"extended attributes, with the rights of others,"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := &fakeFile{a: Attributes{Mode: 0o644, UID: 1, GID: 1, Extended: map[string][]byte{}}, refuse: test.refuse}
			l := likening{h: h, has: h.a, want: test.want}
			if err := l.begin(); err != nil {
				t.Fatal(err)
			}
			var lost []string
			for _, each := range l.lost {
				lost = append(lost, each.What)
				if !errors.Is(each.Err, fs.ErrPermission) {
					t.Errorf("%s: %v", each.What, each.Err)
				}
			}
			if h.a.Mode != test.mode || l.late().mode != test.late || !slices.Equal(lost, test.lost) {
				t.Errorf("mode %v, then %v, lost %q, want %v, %v, %q", h.a.Mode, l.late().mode, lost, test.mode, test.late, test.lost)
			}
			if h.widest&^(test.want.Mode|ownerMode) != 0 {
				t.Errorf("it had the mode %v on the way", h.widest)
			}
		})
	}
}

// An access control list that a new file inherits from its directory lets
// others read it.
func TestInheritedAccessControlListGoes(t *testing.T) {
	h := &fakeFile{a: Attributes{Mode: 0o600, UID: 1, GID: 1, Extended: map[string][]byte{aclName: []byte("of the directory"), "security.selinux": []byte("x")}}}
	l := likening{h: h, has: h.a, want: Attributes{Mode: 0o600, UID: 1, GID: 1}}
	l.has.Extended = maps.Clone(l.has.Extended)
	if err := l.begin(); err != nil || h.a.Extended[aclName] != nil || h.a.Extended["security.selinux"] == nil {
		t.Errorf("%v: %v is left, want the list gone, and it alone", err, h.a.Extended)
	}
}

// replaceTest writes the file x with a mode and opens its part file to replace
// it.
func replaceTest(t *testing.T, fsys FS, dir string, mode fs.FileMode, o Options) *File {
	t.Helper()
	path := filepath.Join(dir, "x")
	if err := os.WriteFile(path, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	o.Name, o.Size, o.ChunkSize, o.Replace = "x", 3, 8, true
	if o.Original != nil {
		info, err := fsys.Lstat("x")
		if err != nil {
			t.Fatal(err)
		}
		o.Original = &info
	}
	return openTest(t, fsys, o)
}

// A file that replaces another can be read only by those who could read that
// one, from its first byte on.
func TestReplacingKeepsTheMode(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there are no such permissions here")
	}
	for _, mode := range []fs.FileMode{0o600, 0o644, 0o777, 0o444, 0o200, 0} {
		if mode&0o400 == 0 && os.Geteuid() != 0 {
			continue // whose attributes cannot be read
		}
		fsys := newTestFS(t)
		f := replaceTest(t, fsys.FS, fsys.path, mode, Options{})
		wantMode(t, filepath.Join(fsys.path, "x.part"), mode|0o600)
		put(t, f, 0, []byte("abc"))
		if _, err := f.Commit(); err != nil {
			t.Fatal(err)
		}
		wantMode(t, filepath.Join(fsys.path, "x"), mode)
	}
}

// The file that is there at the end is the one that is replaced.
func TestReplacingKeepsTheModeOfWhatAppears(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there are no such permissions here")
	}
	fsys := newTestFS(t)
	f := openTest(t, fsys.FS, Options{Name: "x", Size: 3, ChunkSize: 8, Replace: true})
	put(t, f, 0, []byte("abc"))
	fsys.put(t, "x", "private")
	if err := os.Chmod(filepath.Join(fsys.path, "x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Commit(); err != nil {
		t.Fatal(err)
	}
	wantMode(t, filepath.Join(fsys.path, "x"), 0o600)
}

func wantMode(t *testing.T, path string, want fs.FileMode) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != want {
		t.Errorf("%s has the mode %04o, want %04o", filepath.Base(path), got, want)
	}
}

// A mode that cannot be set stops the run before anything is written: others
// could read the file.
func TestModeRefused(t *testing.T) {
	fsys := modeFS{newTestFS(t)}
	fsys.put(t, "x", "old")
	_, err := Open(t.Context(), fsys, Options{Name: "x", Size: 3, ChunkSize: 8, Replace: true})
	if e := wantReason(t, err, System); e.Op != "chmod" {
		t.Errorf("error %v, want one of the mode", e)
	}
	fsys.wantNames(t, "x")
}

type modeFS struct{ *testFS }

func (m modeFS) Create(name string) (Handle, error) {
	h, err := m.testFS.Create(name)
	return struct {
		Handle
		*fakeFile
	}{h, &fakeFile{a: Attributes{Mode: 0o644}, refuse: map[string]error{"chmod": fs.ErrPermission}}}, err
}

func (m modeFS) Attributes(string) (Attributes, error) { return Attributes{Mode: 0o600}, nil }

// With Original only that file is replaced, and only if it is unchanged.
func TestOriginalIsChecked(t *testing.T) {
	for _, change := range []struct {
		name string
		do   func(path string) error
	}{
		{"written to", func(path string) error { return os.WriteFile(path, []byte("new"), 0o644) }},
		{"grown", func(path string) error { return os.WriteFile(path, []byte("newer"), 0o644) }},
		{"replaced", func(path string) error {
			return errors.Join(os.WriteFile(path+".new", []byte("old"), 0o644), os.Rename(path+".new", path))
		}},
		{"removed", os.Remove},
		{"a directory", func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o755)) }},
	} {
		t.Run(change.name, func(t *testing.T) {
			fsys := newTestFS(t)
			f := replaceTest(t, fsys, fsys.path, 0o644, Options{Original: new(Info)})
			original := *f.old.original
			put(t, f, 0, []byte("abc"))
			if err := change.do(filepath.Join(fsys.path, "x")); err != nil {
				t.Fatal(err)
			}
			_, err := f.Commit()
			wantReason(t, err, Changed)
			f.Close()
			o := Options{Name: "x", Size: 3, ChunkSize: 8, Action: ResumeOwn, Replace: true, Original: &original}
			_, err = Open(t.Context(), fsys, o)
			wantReason(t, err, Changed)
			fsys.want(t, "x.part", "abc\x00") // with its tail
			if content, err := os.ReadFile(filepath.Join(fsys.path, "x")); err == nil && string(content) == "abc" {
				t.Error("it was replaced")
			}
		})
	}
}

// ResumeOwn takes only files of which a journal says that malcolm made them.
func TestResumeOwnTakesOnlyMalcolmsFiles(t *testing.T) {
	for _, test := range []struct {
		name    string
		journal func(path string) error
		reason  Reason
	}{
		{"its journal is there", func(string) error { return nil }, System},
		{"no journal", os.Remove, Foreign},
		{"another program's file", func(path string) error { return os.WriteFile(path, []byte("mine"), 0o644) }, Foreign},
		{"of another file", func(path string) error {
			h := Header{Size: 4, ChunkSize: 8}
			s := newSealer(h)
			return os.WriteFile(path, s.append(thisRun().append(h.append(nil)), record{kind: recordClosed}), 0o644)
		}, OtherFile},
	} {
		t.Run(test.name, func(t *testing.T) {
			fsys := newTestFS(t)
			f := openTest(t, fsys, Options{Name: "x", Size: 3, ChunkSize: 8})
			put(t, f, 0, []byte("abc"))
			if err := errors.Join(f.Sync(), f.Close(), test.journal(filepath.Join(fsys.path, "x"+JournalSuffix))); err != nil {
				t.Fatal(err)
			}
			found, err := Look(fsys, "x")
			if err != nil {
				t.Fatal(err)
			}
			state := found.OwnPartState(Header{Size: 3, ChunkSize: 8})
			wanted := map[Reason]PartState{System: PartSame, Foreign: PartForeign, OtherFile: PartOtherChecksum}[test.reason]
			if state != wanted || (DecideRepair(state).Action == Refuse) != (test.reason != System) {
				t.Errorf("state %d, want %d", state, wanted)
			}
			f, err = Open(t.Context(), fsys, Options{Name: "x", Size: 3, ChunkSize: 8, Action: ResumeOwn})
			if test.reason == System {
				if err != nil || !f.Claimed(0) {
					t.Errorf("%v, want it resumed", err)
				}
				f.Close()
				return
			}
			wantReason(t, err, test.reason)
			fsys.want(t, "x.part", "abc\x00") // with its tail
		})
	}
}
