; nasm -f elf64 hello.asm && ld -o hello hello.o
global _start

section .data
message:    db "hello, world", 10
length:     equ $ - message

section .bss
buffer:     resb 64

section .text
_start:
    mov     rax, 1          ; write
    mov     rdi, 1
    mov     rsi, message
    mov     rdx, length
    syscall

    xor     rcx, rcx
.loop:
    inc     rcx
    cmp     rcx, 10
    jl      .loop

    mov     rax, 60         ; exit
    xor     rdi, rdi
    syscall
