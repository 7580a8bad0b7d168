package agent

import (
	"cmp"
	"context"
	"time"

	"github.com/shirou/gopsutil/v4/cpu"
	"github.com/shirou/gopsutil/v4/disk"
	"github.com/shirou/gopsutil/v4/host"
	"github.com/shirou/gopsutil/v4/mem"
)

// hostInfo is the machine that an agent runs on, under names that clients know.
type hostInfo struct {
	Memory *mem.VirtualMemoryStat
	CPU    []cpu.InfoStat
	Host   *host.InfoStat
	// Disk is the one that holds the data directory, or the root without one.
	Disk           *disk.UsageStat
	CollectionTime int64 // unix nanoseconds
	// Errors say what could not be found out, which is nil above.
	Errors []string
}

// Host implements [httpapi.Agent].
func (s *self) Host(ctx context.Context) any {
	info := &hostInfo{CollectionTime: time.Now().UnixNano()}
	note := func(err error) {
		if err != nil {
			info.Errors = append(info.Errors, err.Error())
		}
	}
	var err error
	info.Memory, err = mem.VirtualMemoryWithContext(ctx)
	note(err)
	info.CPU, err = cpu.InfoWithContext(ctx)
	note(err)
	info.Host, err = host.InfoWithContext(ctx)
	note(err)
	info.Disk, err = disk.UsageWithContext(ctx, cmp.Or(s.agent.cfg.DataDir, "/"))
	note(err)
	return info
}
