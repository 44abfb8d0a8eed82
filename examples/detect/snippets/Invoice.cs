using System;
using System.Collections.Generic;
using System.Linq;

namespace Example.Billing
{
    public record Line(string Text, decimal Price, int Quantity);

    public class Invoice
    {
        private readonly List<Line> lines = new List<Line>();

        public string Customer { get; set; } = string.Empty;

        public decimal Total => lines.Sum(l => l.Price * l.Quantity);

        public void Add(Line line)
        {
            if (line is null) throw new ArgumentNullException(nameof(line));
            lines.Add(line);
        }

        public static void Main(string[] args)
        {
            var invoice = new Invoice { Customer = "Ada" };
            invoice.Add(new Line("paper", 3.20m, 4));
            Console.WriteLine($"{invoice.Customer}: {invoice.Total:C}");
        }
    }
}
