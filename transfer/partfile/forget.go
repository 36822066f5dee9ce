package partfile

// Forget drops what the system has cached of the part file, as far as it is durable and the system can, so that the
// next reads come from the disk.
func (f *File) Forget() { _ = f.handle.Forget() }
