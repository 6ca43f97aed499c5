# redraw: gnuplot table3-published-codebook_loss.gp
set terminal svg size 900,460 dynamic noenhanced font 'sans-serif,14' background '#ffffff'
set output 'table3-published-codebook_loss.svg'
set datafile separator comma
set title 'training, codebook loss, preset published'
set xlabel 'epoch'
set ylabel 'codebook loss'
set grid lc rgb '#dddddd' dt 1
set border 3
set tics nomirror
set key outside right top Left reverse samplen 2.5
set logscale y
set yrange [0.00403552:0.0703294]
set ytics (0.005, 0.007, 0.01, 0.015, 0.02, 0.03, 0.05, 0.07)
set xtics 1
plot \
  'table3-published-codebook_loss.csv' skip 1 using 1:2 with linespoints lc rgb '#0072b2' dt 1 lw 2.5 pt 7 ps 0.6 title 'beta 0.25', \
  'table3-published-codebook_loss.csv' skip 1 using 1:3 with linespoints lc rgb '#0072b2' dt 2 lw 1.5 pt 4 ps 0.6 title 'authors'', beta_0.25_k1024', \
  'table3-published-codebook_loss.csv' skip 1 using 1:4 with linespoints lc rgb '#0072b2' dt 2 lw 1.5 pt 4 ps 0.6 title 'authors'', training_testing_k1024_beta0.25', \
  'table3-published-codebook_loss.csv' skip 1 using 1:5 with linespoints lc rgb '#d55e00' dt 1 lw 2.5 pt 7 ps 0.6 title 'beta 2', \
  'table3-published-codebook_loss.csv' skip 1 using 1:6 with linespoints lc rgb '#d55e00' dt 2 lw 1.5 pt 4 ps 0.6 title 'authors'', beta_2.0_k1024'
