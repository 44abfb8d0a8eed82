module Solver

using LinearAlgebra
export newton

struct Problem{F, G}
    f::F
    gradient::G
end

"""
    newton(problem, x0; tolerance = 1e-8)

Find a root of `problem.f`, starting at `x0`.
"""
function newton(problem::Problem, x0::Vector{Float64}; tolerance = 1e-8, steps = 50)
    x = copy(x0)
    for i in 1:steps
        fx = problem.f(x)
        norm(fx) < tolerance && return x
        x .-= problem.gradient(x) \ fx
    end
    error("no convergence after $steps steps")
end

end # module

p = Solver.Problem(x -> x .^ 2 .- 2.0, x -> Diagonal(2.0 .* x))
println(Solver.newton(p, [1.0, 3.0]))
