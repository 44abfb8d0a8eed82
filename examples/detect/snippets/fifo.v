`timescale 1ns / 1ps

module fifo #(
    parameter WIDTH = 8,
    parameter DEPTH = 16
) (
    input  wire             clk,
    input  wire             reset,
    input  wire             write,
    input  wire             read,
    input  wire [WIDTH-1:0] data_in,
    output reg  [WIDTH-1:0] data_out,
    output wire             empty
);
    reg [WIDTH-1:0] memory [0:DEPTH-1];
    reg [4:0] head, tail;

    assign empty = (head == tail);

    always @(posedge clk) begin
        if (reset) begin
            head <= 0;
            tail <= 0;
        end else begin
            if (write) begin
                memory[tail[3:0]] <= data_in;
                tail <= tail + 1'b1;
            end
            if (read && !empty) begin
                data_out <= memory[head[3:0]];
                head <= head + 1'b1;
            end
        end
    end
endmodule
