function [f, power] = spectrum(x, fs)
% SPECTRUM  One-sided power spectrum of a signal.
%   [f, power] = spectrum(x, fs)
n = length(x);
window = hann(n)';
y = fft(x(:)' .* window);
power = abs(y(1:floor(n/2)+1)).^2 / (fs * sum(window.^2));
power(2:end-1) = 2 * power(2:end-1);
f = (0:floor(n/2)) * fs / n;

if nargout == 0
    figure;
    plot(f, 10 * log10(power));
    xlabel('frequency (Hz)');
    ylabel('power (dB/Hz)');
    grid on;
end
end
