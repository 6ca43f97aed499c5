# How the vectors of one cell move in a step of gradient descent, all with the same gradient g at the
# decoder's input. Draws gradient-fields.svg: gnuplot gradient-fields.gp
# In the plane the rotation that turns e to q and scales it by lambda is a product of complex numbers,
# x -> (q/e) x, and its transpose is x -> conj(q/e) x. About o it is conj((q-o)/(e-o)), which tends to
# 1, straight-through, as o moves away.
set terminal svg size 1080,720 dynamic noenhanced font 'sans-serif,14' background '#ffffff'
set output 'gradient-fields.svg'
i = {0,1}
q = 0.8 + 0.6 * i                      # the code, |q| = 1
step = 0.3                             # learning rate
longer = -q                            # g: the decoder wants a longer code,
aside = -i * q                         # or one that is turned to the left
far = -2 - 2 * i
straight(e, g) = -step * g
about_zero(e, g) = -step * conj(q / e) * g
about_far(e, g) = -step * conj((q - far) / (e - far)) * g
conj(z) = real(z) - i * imag(z)
radius = 0.5                           # of the cell
inside(x, y) = (abs(x + i * y - q) < radius + 1e-9) ? x : NaN
unset key
set size ratio -1
set xrange [-0.1:1.9]
set yrange [-0.1:1.7]
set xtics 0, 0.5
set ytics 0, 0.5
set grid lc '#e0e0e0'
set urange [0.3:1.3]
set vrange [0.1:1.1]
set samples 9
set isosamples 9
set style arrow 1 head filled size 0.05, 20 lw 1.4 lc '#0072b2'
set style line 1 lc '#d55e00' pt 7 ps 1
set style line 2 lc '#000000' pt 1 ps 1.4
draw = "plot '++' using (inside($1,$2)):2:(real(f($1+i*$2,g))):(imag(f($1+i*$2,g))) \
  with vectors arrowstyle 1, '+' using (0):(0):(1) every ::0::0 with points ls 2, \
  '+' using (real(q)):(imag(q)) every ::0::0 with points ls 1"
set multiplot layout 2,3
do for [row = 0:1] {
  if (row == 0) { g = longer } else { g = aside }
  wish = row == 0 ? 'a longer code' : 'a turned code'
  f(e, g) = straight(e, g)
  set title 'straight-through, ' . wish
  @draw
  f(e, g) = about_zero(e, g)
  set title 'rotation about 0 (the cross)'
  @draw
  f(e, g) = about_far(e, g)
  set title 'rotation about (-2,-2)'
  @draw
}
unset multiplot
