       IDENTIFICATION DIVISION.
       PROGRAM-ID. PAYROLL.
       ENVIRONMENT DIVISION.
       INPUT-OUTPUT SECTION.
       FILE-CONTROL.
           SELECT EMPLOYEES ASSIGN TO "EMPLOY.DAT"
               ORGANIZATION IS LINE SEQUENTIAL.
       DATA DIVISION.
       FILE SECTION.
       FD EMPLOYEES.
       01 EMPLOYEE-RECORD.
           05 EMP-NAME     PIC X(20).
           05 EMP-HOURS    PIC 9(3).
           05 EMP-RATE     PIC 9(3)V99.
       WORKING-STORAGE SECTION.
       01 WS-EOF           PIC X VALUE "N".
       01 WS-PAY           PIC 9(6)V99.
       PROCEDURE DIVISION.
       MAIN-PARAGRAPH.
           OPEN INPUT EMPLOYEES
           PERFORM UNTIL WS-EOF = "Y"
               READ EMPLOYEES
                   AT END MOVE "Y" TO WS-EOF
                   NOT AT END
                       COMPUTE WS-PAY = EMP-HOURS * EMP-RATE
                       DISPLAY EMP-NAME " " WS-PAY
               END-READ
           END-PERFORM
           CLOSE EMPLOYEES
           STOP RUN.
