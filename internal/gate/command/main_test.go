package command_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The programs that the tests start are this test binary itself, playing the
// part that its first argument names.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "play" {
		play(os.Args[2], os.Args[3:])
		return
	}
	os.Exit(m.Run())
}

func play(part string, args []string) {
	switch part {
	case "pass":
		fmt.Println("all is well")
	case "fail":
		fmt.Println("looking")
		fmt.Fprintln(os.Stderr, "the cart is empty")
		os.Exit(3)
	case "hang":
		time.Sleep(time.Hour)
	case "flood":
		line := append(bytes.Repeat([]byte("x"), 1023), '\n')
		for range 10 << 10 {
			os.Stdout.Write(line)
		}
		fmt.Println("the end")
		os.Exit(1)
	case "print":
		fmt.Println(strings.Join(args, "|"))
	case "env":
		for _, entry := range os.Environ() {
			fmt.Println(entry)
		}
	case "dir":
		dir, err := os.Getwd()
		if err != nil {
			panic(err)
		}
		fmt.Println(dir)
	case "shout": // prints a variable many times over and fails
		value := os.Getenv(args[0])
		for range 3000 {
			fmt.Println(value)
		}
		os.Exit(1)
	case "shout-and-hang":
		fmt.Println(os.Getenv(args[0]))
		time.Sleep(time.Hour)
	case "family": // leaves a child and a grandchild, and hangs or ends
		child := exec.Command(os.Args[0], "play", "child", args[0])
		child.Stdout = os.Stdout
		if err := child.Start(); err != nil {
			panic(err)
		}
		if args[1] == "hang" {
			time.Sleep(time.Hour)
		}
		// End only when both have written who they are.
		for lines(args[0]) < 2 {
			time.Sleep(5 * time.Millisecond)
		}
	case "child":
		note(args[0])
		grandchild := exec.Command(os.Args[0], "play", "grandchild", args[0])
		grandchild.Stdout = os.Stdout
		if err := grandchild.Start(); err != nil {
			panic(err)
		}
		time.Sleep(time.Hour)
	case "grandchild":
		note(args[0])
		time.Sleep(time.Hour)
	case "escape": // leaves a process in a group of its own that keeps the output open
		runaway := exec.Command(os.Args[0], "play", "runaway", args[0])
		runaway.Stdout = os.Stdout
		runaway.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		if err := runaway.Start(); err != nil {
			panic(err)
		}
		for lines(args[0]) < 1 {
			time.Sleep(5 * time.Millisecond)
		}
	case "runaway":
		note(args[0])
		time.Sleep(time.Hour)
	default:
		panic("no such part: " + part)
	}
}

// note adds this process's id to a file.
func note(path string) {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	defer f.Close()
	fmt.Fprintln(f, strconv.Itoa(os.Getpid()))
}

func lines(path string) int {
	data, _ := os.ReadFile(path)
	return bytes.Count(data, []byte("\n"))
}
