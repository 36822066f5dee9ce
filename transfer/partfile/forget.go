package partfile

// Forget drops what the system has cached of the part file, so that the next
// reads come from the disk. Only durable bytes are dropped, and only if the
// system can.
func (f *File) Forget() { _ = f.handle.Forget() }
