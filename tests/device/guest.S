/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The program that guest.h describes, as the last bytes before 4 GiB. An x86
 * processor begins 16 bytes before their end, in real mode.
 *
 * It counts interrupts, and does what it is asked to do in one of them. There is no
 * IRET: KVM may have to emulate all of this, and cannot emulate IRET. So an interrupt
 * does not return to where it came from, but waits for the next one.
 */
#include "guest-layout.h"

#define SIZE GUEST_FIRMWARE_SIZE
#define AT(label) ((label) - guest_firmware + 0xffffffff - (SIZE - 1))
#define SEGMENT_CODE 8
#define SEGMENT_DATA 16
#define STACK 0x8000

#define APIC_EOI (GUEST_APIC + 0xb0)
#define APIC_SPURIOUS (GUEST_APIC + 0xf0)
#define APIC_ENABLE 0x1ff

    .section .note.GNU-stack, "", @progbits
    .section .rodata
    .globl guest_firmware
guest_firmware:
    .code32
start:
    mov $SEGMENT_DATA, %ax
    mov %ax, %ds
    mov %ax, %ss
    lidt AT(idt_pointer)
    movl $APIC_ENABLE, APIC_SPURIOUS
    incl GUEST_STARTS
    jmp wait

interrupt_0:
    incl GUEST_INTERRUPTS
    jmp end_of_interrupt

interrupt_1:
    incl GUEST_INTERRUPTS + 4
    jmp end_of_interrupt

kick:
    mov GUEST_WRITES, %ecx
    test %ecx, %ecx
    jz 2f
    mov GUEST_ADDRESS, %ebx
1:  mov %ecx, (%ebx)
    dec %ecx
    jnz 1b
2:  incl GUEST_KICKS

end_of_interrupt:
    movl $0, APIC_EOI
wait:
    mov $STACK, %esp
    sti
    hlt
    jmp wait

    .macro gate label
    .word (AT(\label)) & 0xffff, SEGMENT_CODE, 0x8e00, (AT(\label)) >> 16
    .endm

    .balign 8
idt:
    .fill GUEST_KICK, 8, 0
    gate kick
    .fill GUEST_VECTOR - GUEST_KICK - 1, 8, 0
    gate interrupt_0
    gate interrupt_1
idt_pointer:
    .word idt_pointer - idt - 1
    .long AT(idt)

    .balign 8
gdt: /* flat segments, marked "accessed": the processor could not do so in ROM */
    .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
gdt_pointer:
    .word gdt_pointer - gdt - 1
    .long AT(gdt)

    .code16
enter:
    cli
    lgdtl %cs:(AT(gdt_pointer)) & 0xffff
    mov %cr0, %eax
    or $1, %al
    mov %eax, %cr0
    ljmpl $SEGMENT_CODE, $AT(start)

    .org SIZE - 16
    jmp enter
    .org SIZE
