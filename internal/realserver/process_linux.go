package realserver

import (
	"os/exec"
	"runtime"
	"syscall"
)

const (
	supported   = true
	sigStop     = syscall.SIGSTOP
	sigContinue = syscall.SIGCONT
)

// process is a child that cannot outlive this process.
type process struct {
	cmd  *exec.Cmd
	pid  int
	done chan struct{} // closed when the child is gone and reaped
}

// startProcess starts cmd. The kernel sends SIGKILL to the child when the thread that forked it ends, so one thread
// is locked until the child is gone.
func startProcess(cmd *exec.Cmd) (*process, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p := &process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		if err == nil {
			p.pid = cmd.Process.Pid
		}
		started <- err
		if err == nil {
			_ = cmd.Wait() // it was killed, or its log says why it ended
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

func (p *process) signal(sig syscall.Signal) error { return p.cmd.Process.Signal(sig) }

// kill ends the child, also a paused one, and waits until it is gone.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // the only error is that it is gone
	<-p.done
}

func alive(pid int) bool { return syscall.Kill(pid, 0) != syscall.ESRCH }
