package child

// This file is about the owner word, a futex in shared memory by which the launcher and init see that the task's old
// memory is gone: get_robust_list(2).

import (
	"sync/atomic"
	"unsafe"
)

// owner returns the address of the owner word.
func (im *Image) owner() uintptr { return uintptr(unsafe.Pointer(&im.page.owner)) }

// Released reports whether the kernel has released the memory in which the task executed the plan. If so, the task runs
// the program, or has ended. It is always false if the plan has no plan.HoldOwner.
func (p *Page) Released() bool {
	const ownerDied = 0x40000000 // FUTEX_OWNER_DIED: get_robust_list(2)
	return atomic.LoadUint32(&p.owner)&ownerDied != 0
}

// self returns the address of the word for the task's own pid.
func (im *Image) self() uintptr { return uintptr(unsafe.Pointer(&im.page.self)) }

// robustList builds struct robust_list_head with one entry, whose lock is the owner word. The lowest bit of the entry's
// address is clear. If it were set, the kernel would take the lock for one with priority inheritance
// (kernel/futex/core.c, fetch_robust_entry) and would not wake those who wait at this one.
func (im *Image) robustList() ([]byte, error) {
	b, err := im.alloc(32)
	if err != nil {
		return nil, err
	}
	head, entry := addr(b), addr(b[24:])
	*(*uintptr)(unsafe.Pointer(&b[0])) = entry
	*(*uintptr)(unsafe.Pointer(&b[8])) = im.owner() - entry // futex_offset, from the entry to its lock
	*(*uintptr)(unsafe.Pointer(&b[24])) = head              // the end of the list
	return b, nil
}
