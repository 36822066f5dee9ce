package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// peerPorts is the number of ports on which nginx listens.
const peerPorts = 4

// peerMissing says why other programs cannot be measured here.
func peerMissing(programs ...string) string {
	if runtime.GOOS != "linux" {
		return "other programs are measured on Linux only"
	}
	return missing(programs...)
}

// peerRows are other programs that copy files, and malcolm from the server that
// they copy from.
func peerRows() []row {
	return []row{
		{name: "curl", title: "curl, 1 TLS source", missing: peerMissing("nginx", "curl"), copies: true, serve: serveCurl},
		{name: "aria2", title: "aria2, 4 TLS sources", missing: peerMissing("nginx", "aria2c"), copies: true, serve: serveAria2(false)},
		{name: "aria2-sha256", title: "aria2, 4 TLS sources, SHA-256 checked", missing: peerMissing("nginx", "aria2c"), copies: true, serve: serveAria2(true)},
		{name: "mirrors", title: "malcolm, 4 TLS mirrors (nginx)", missing: peerMissing("nginx"), copies: true, serve: serveMirrors},
		{name: "scp", title: "scp", missing: peerMissing("scp", "ssh", "sshd", "ssh-keygen"), copies: true, serve: serveSCP},
		{name: "rsync", title: "rsync from its daemon, not encrypted", missing: peerMissing("rsync"), copies: true, serve: serveRsync},
	}
}

func serveCurl(ctx context.Context, l *lab, k *link, dir string) ([]*process, command, error) {
	servers, urls, err := l.serveNginx(ctx, k)
	if err != nil {
		return nil, command{}, err
	}
	return servers, command{args: []string{"curl", "-q", "-sSk", "--tlsv1.3", "-o", filepath.Join(dir, fileName), urls[0]}}, nil
}

func serveAria2(checked bool) func(context.Context, *lab, *link, string) ([]*process, command, error) {
	return func(ctx context.Context, l *lab, k *link, dir string) ([]*process, command, error) {
		servers, urls, err := l.serveNginx(ctx, k)
		if err != nil {
			return nil, command{}, err
		}
		args := []string{"aria2c", "--no-conf", "-q", "-x4", "-s4", "-k1M", "--check-certificate=false", "--file-allocation=none", "-d", dir, "-o", fileName}
		if checked {
			args = append(args, "--checksum=sha-256="+l.source.sha256)
		}
		return servers, command{args: append(args, urls...)}, nil
	}
}

// serveMirrors has malcolm copy what aria2 copies. The file of values lies
// beside the file.
func serveMirrors(ctx context.Context, l *lab, k *link, dir string) ([]*process, command, error) {
	env := l.malcolmEnv("")
	if _, err := os.Stat(l.source.path + ".malcolm"); err != nil {
		p, err := start(ctx, command{env: env, args: []string{l.binary, "index", "-q", l.source.path}})
		if err != nil {
			return nil, command{}, err
		}
		if err := p.wait(); err != nil {
			return nil, command{}, err
		}
	}
	servers, urls, err := l.serveNginx(ctx, k)
	if err != nil {
		return nil, command{}, err
	}
	return servers, l.getMalcolm(dir, urls, env, "--ca", l.cert), nil
}

const nginxConf = `daemon off; worker_processes auto; pid %[1]s/nginx.pid; error_log %[1]s/nginx.log;
%[2]s
events { worker_connections 256; }
http {
    access_log off; sendfile on; tcp_nopush on;
    client_body_temp_path %[1]s/a; proxy_temp_path %[1]s/b; fastcgi_temp_path %[1]s/c; uwsgi_temp_path %[1]s/d; scgi_temp_path %[1]s/e;
    server {
        %[3]s
        ssl_protocols TLSv1.3; ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
        ssl_certificate %[4]s; ssl_certificate_key %[5]s;
        root %[6]s;
    }
}
`

// serveNginx starts nginx and returns a URL of the file for each of its ports.
func (l *lab) serveNginx(ctx context.Context, k *link) ([]*process, []string, error) {
	cert, key, err := l.certificate()
	if err != nil {
		return nil, nil, err
	}
	ports, err := freePorts(peerPorts)
	if err != nil {
		return nil, nil, err
	}
	var listen, urls []string
	for _, port := range ports {
		at := net.JoinHostPort(k.addr, strconv.Itoa(port))
		listen = append(listen, "listen "+at+" ssl;")
		urls = append(urls, "https://"+at+"/"+fileName)
	}
	owner := ""
	if os.Geteuid() == 0 {
		owner = "user root;"
	}
	conf := fmt.Sprintf(nginxConf, l.dir, owner, strings.Join(listen, " "), cert, key, filepath.Dir(l.source.path))
	path := filepath.Join(l.dir, "nginx.conf")
	if err := os.WriteFile(path, []byte(conf), 0o600); err != nil {
		return nil, nil, err
	}
	servers, err := serveOn(ctx, k, ports, command{args: []string{"nginx", "-c", path, "-p", l.dir, "-e", filepath.Join(l.dir, "nginx.log")}})
	return servers, urls, err
}

// freePorts returns TCP ports on which nobody listens.
func freePorts(n int) ([]int, error) {
	var ports []int
	for range n {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer ln.Close()
		ports = append(ports, ln.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// serveOn starts a server and waits until it listens on all its TCP ports.
func serveOn(ctx context.Context, k *link, ports []int, c command) ([]*process, error) {
	p, err := start(ctx, at(k.servers, c))
	if err != nil {
		return nil, err
	}
	servers, _, err := serverOrError(p, nil, awaitPorts(ctx, p, ports))
	return servers, err
}

func awaitPorts(ctx context.Context, p *process, ports []int) error {
	const every = 20 * time.Millisecond
	deadline := time.Now().Add(startTime)
	for _, port := range ports {
		for !parseListens(string(readProc(p.cmd.Process.Pid, "net/tcp")), port) {
			select {
			case <-p.done:
				return fmt.Errorf("%w: %s", errEnded, p.log.tail(3))
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(every):
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("does not listen on port %d after %v", port, startTime)
			}
		}
	}
	return nil
}

func serveRsync(ctx context.Context, l *lab, k *link, dir string) ([]*process, command, error) {
	ports, err := freePorts(1)
	if err != nil {
		return nil, command{}, err
	}
	conf := filepath.Join(l.dir, "rsyncd.conf")
	text := fmt.Sprintf("use chroot = no\nreverse lookup = no\npid file = %s\nlog file = %s\n[bench]\npath = %s\nread only = yes\n%s",
		filepath.Join(l.dir, "rsyncd.pid"), filepath.Join(l.dir, "rsyncd.log"), filepath.Dir(l.source.path), rsyncOwner())
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		return nil, command{}, err
	}
	if err := os.Remove(filepath.Join(l.dir, "rsyncd.pid")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, command{}, err
	}
	port := strconv.Itoa(ports[0])
	servers, err := serveOn(ctx, k, ports, command{args: []string{"rsync", "--daemon", "--no-detach", "--config=" + conf, "--address=" + k.addr, "--port=" + port}})
	client := command{args: []string{"rsync", "rsync://" + net.JoinHostPort(k.addr, port) + "/bench/" + fileName, dir + "/"}}
	return servers, client, err
}

// rsyncOwner keeps the daemon from changing to a user who may not read the
// file.
func rsyncOwner() string {
	if os.Geteuid() == 0 {
		return "uid = 0\ngid = 0\n"
	}
	return ""
}

func serveSCP(ctx context.Context, l *lab, k *link, dir string) ([]*process, command, error) {
	key, err := l.sshKey(ctx)
	if err != nil {
		return nil, command{}, err
	}
	ports, err := freePorts(1)
	if err != nil {
		return nil, command{}, err
	}
	me, err := user.Current()
	if err != nil {
		return nil, command{}, err
	}
	port := strconv.Itoa(ports[0])
	sshd, err := exec.LookPath("sshd") // sshd must be called by its whole path
	if err != nil {
		return nil, command{}, err
	}
	args := []string{sshd, "-D", "-e", "-f", "/dev/null", "-h", key, "-p", port}
	for _, option := range []string{
		"ListenAddress=" + k.addr, "AuthorizedKeysFile=" + key + ".pub", "StrictModes=no", "UsePAM=no",
		"PidFile=none", "PermitRootLogin=yes", "Subsystem=sftp internal-sftp",
	} {
		args = append(args, "-o", option)
	}
	servers, err := serveOn(ctx, k, ports, command{args: args})
	client := command{args: []string{
		"scp", "-q", "-F", "/dev/null", "-i", key, "-P", port, "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
		me.Username + "@" + k.addr + ":" + l.source.path, dir + "/",
	}}
	return servers, client, err
}

// sshKey returns the path of a key, which is the host's and the user's.
func (l *lab) sshKey(ctx context.Context) (string, error) {
	path := filepath.Join(l.dir, "ssh-key")
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	p, err := start(ctx, command{args: []string{"ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path}})
	if err != nil {
		return "", err
	}
	return path, p.wait()
}
