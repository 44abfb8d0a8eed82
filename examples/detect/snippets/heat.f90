program heat
  implicit none
  integer, parameter :: n = 100, steps = 1000
  real(kind=8) :: u(0:n+1), unew(0:n+1)
  real(kind=8) :: dx, dt
  integer :: i, step

  dx = 1.0d0 / real(n + 1, 8)
  dt = 0.4d0 * dx**2
  u = 0.0d0
  u(n/2) = 1.0d0

  do step = 1, steps
    do i = 1, n
      unew(i) = u(i) + dt / dx**2 * (u(i-1) - 2.0d0 * u(i) + u(i+1))
    end do
    u(1:n) = unew(1:n)
  end do

  write(*, '(a, es12.4)') 'maximum: ', maxval(u)
contains
  subroutine reset(v)
    real(kind=8), intent(inout) :: v(:)
    v = 0.0d0
  end subroutine reset
end program heat
