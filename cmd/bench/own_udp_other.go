//go:build !linux

package main

import "errors"

const ceilingMissing = "GSO and GRO are measured on Linux only"

var errCeiling = errors.New(ceilingMissing)

// Run has nothing to offer.
func (*udpServeCmd) Run() error { return errCeiling }

// Run has nothing to offer.
func (*udpGetCmd) Run() error { return errCeiling }
