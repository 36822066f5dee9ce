package transport

// setBuffer asks for a buffer of WantedBuffer bytes, which Windows does not
// bound.
func setBuffer(c bufferedConn, receive bool) int {
	if receive {
		_ = c.SetReadBuffer(WantedBuffer)
	} else {
		_ = c.SetWriteBuffer(WantedBuffer)
	}
	return 0
}
