# redraw: gnuplot three-rates-seed1.gp
set terminal svg size 900,542 dynamic noenhanced font 'sans-serif,14' background '#ffffff'
set output 'three-rates-seed1.svg'
set datafile separator comma
set title 'Test PSNR over the entropy of the codes'
set xlabel 'bits per image (entropy)'
set ylabel 'PSNR (dB)'
set grid lc rgb '#dddddd' dt 1
set border 3
set tics nomirror
set key outside right top Left reverse samplen 2.5
plot \
  'three-rates-seed1.csv' skip 1 using 1:2 with linespoints lc rgb '#0072b2' dt 1 lw 2.5 pt 7 ps 0.6 title 'ste', \
  'three-rates-seed1.csv' skip 1 using 1:3 with linespoints lc rgb '#d55e00' dt 1 lw 2.5 pt 7 ps 0.6 title 'rotation', \
  'three-rates-seed1.csv' skip 1 using 1:4 with linespoints lc rgb '#009e73' dt 1 lw 2.5 pt 7 ps 0.6 title 'reflection', \
  'three-rates-seed1.csv' skip 1 using 1:5 with linespoints lc rgb '#cc79a7' dt 1 lw 2.5 pt 7 ps 0.6 title 'gradient', \
  'three-rates-seed1.csv' skip 1 using 1:6 with linespoints lc rgb '#56b4e9' dt 1 lw 2.5 pt 7 ps 0.6 title 'gumbel', \
  'three-rates-seed1.csv' skip 1 using 1:7 with linespoints lc rgb '#e69f00' dt 1 lw 2.5 pt 7 ps 0.6 title 'diveq', \
  'three-rates-seed1.csv' skip 1 using 1:8 with linespoints lc rgb '#000000' dt 1 lw 2.5 pt 7 ps 0.6 title 'cosine', \
  'three-rates-seed1.csv' skip 1 using 1:9 with linespoints lc rgb '#8a7700' dt 1 lw 2.5 pt 7 ps 0.6 title 'projected', \
  'three-rates-seed1.csv' skip 1 using 1:10 with linespoints lc rgb '#0072b2' dt 2 lw 1.5 pt 4 ps 0.6 title 'soft_em', \
  'three-rates-seed1.csv' skip 1 using 1:11 with linespoints lc rgb '#d55e00' dt 2 lw 1.5 pt 4 ps 0.6 title 'simvq', \
  'three-rates-seed1.csv' skip 1 using 1:12 with linespoints lc rgb '#009e73' dt 2 lw 1.5 pt 4 ps 0.6 title 'fsq', \
  'three-rates-seed1.csv' skip 1 using 1:13 with linespoints lc rgb '#cc79a7' dt 2 lw 1.5 pt 4 ps 0.6 title 'lfq', \
  'three-rates-seed1.csv' skip 1 using 1:14 with linespoints lc rgb '#56b4e9' dt 2 lw 1.5 pt 4 ps 0.6 title 'bsq', \
  'three-rates-seed1.csv' skip 1 using 1:15 with linespoints lc rgb '#e69f00' dt 2 lw 1.5 pt 4 ps 0.6 title 'residual', \
  'three-rates-seed1.csv' skip 1 using 1:16 with linespoints lc rgb '#000000' dt 2 lw 1.5 pt 4 ps 0.6 title 'residual_shared', \
  'three-rates-seed1.csv' skip 1 using 1:17 with linespoints lc rgb '#8a7700' dt 2 lw 1.5 pt 4 ps 0.6 title 'grouped', \
  'three-rates-seed1.csv' skip 1 using 1:18 with linespoints lc rgb '#0072b2' dt 3 lw 1.5 pt 9 ps 0.6 title 'vqvae2'
