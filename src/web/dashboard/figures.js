// Figures as people read them: with a unit, and no more digits than one takes in at a glance.

import { locale } from './language.js';

/** What stands where there is no figure. */
export const NONE = '–';

const BINARY = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
const ROUND = [1, 2, 5, 10];
/** Charts without any figure reach up to here. */
const LEAST = { per_s: 1, s: 0.01, ratio: 1, bytes: 1024, count: 3 };

/**
 * A figure with its unit, which no line break parts from it.
 * @param {number | null | undefined} value
 * @param {'per_s' | 's' | 'ratio' | 'bytes' | 'count'} unit
 */
export function figure(value, unit) {
    if (value === null || value === undefined) return NONE;
    if (unit === 'per_s') return `${number(value)}/s`;
    if (unit === 'ratio') return percent(value * 100);
    if (unit === 's') return duration(value);
    if (unit === 'bytes') return bytes(value);
    return number(value);
}

/** A number with three digits that say something; whole ones as they are. */
export function number(value) {
    const options = Number.isInteger(value) ? {} : { maximumSignificantDigits: 3 };
    return value.toLocaleString(locale(), options);
}

function percent(value) {
    return `${value.toLocaleString(locale(), { maximumFractionDigits: value < 10 ? 1 : 0 })}\u00a0%`;
}

function duration(seconds) {
    if (seconds === 0) return '0\u00a0s';
    if (seconds < 0.001) return `${number(seconds * 1e6)}\u00a0µs`;
    return seconds < 1 ? `${number(seconds * 1000)}\u00a0ms` : `${number(seconds)}\u00a0s`;
}

function bytes(value) {
    const power = binaryPower(value);
    return `${number(value / 1024 ** power)}\u00a0${BINARY[power]}`;
}

function binaryPower(value) {
    return value < 1024 ? 0 : Math.min(BINARY.length - 1, Math.floor(Math.log(value) / Math.log(1024)));
}

/** A time that has passed, in its two largest units. */
export function span(seconds) {
    const [d, h, m] = [Math.floor(seconds / 86400), Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60];
    if (d > 0) return `${d} d ${h} h`;
    if (h > 0) return `${h} h ${m} min`;
    return m > 0 ? `${m} min ${Math.floor(seconds % 60)}\u00a0s` : `${Math.floor(seconds)}\u00a0s`;
}

/** A time of today with its seconds; of another day with the day. */
export function moment(time) {
    const date = new Date(time);
    const isToday = date.toDateString() === new Date().toDateString();
    const day = isToday ? {} : { day: 'numeric', month: 'short' };
    const clock = { hour: '2-digit', minute: '2-digit', second: '2-digit' };
    return new Intl.DateTimeFormat(locale(), { ...day, ...clock }).format(date);
}

/**
 * Where the lines of a scale from 0 to `max` or a little more stand: two to four of them, at round figures.
 * @param {number} max
 * @param {string} unit as of `figure`
 * @returns {number[]} from 0 on
 */
export function scale(max, unit) {
    const reach = max > 0 ? max : LEAST[unit];
    const whole = unit === 'bytes' ? 1024 ** binaryPower(reach) : 1;
    const rough = reach / whole / 3;
    const power = 10 ** Math.floor(Math.log10(rough));
    // Half a thing is none.
    const least = unit === 'count' ? 1 : 0;
    const step = Math.max(least, ROUND.find((one) => one * power >= rough * 0.999) * power) * whole;
    const lines = [0];
    while (lines.at(-1) < reach * 0.999) lines.push(lines.length * step);
    return lines;
}

/**
 * The round times from `from` to `to`, milliseconds since 1970, as the viewer's clock has them.
 * @param {number} most how many there may be
 */
export function times(from, to, most) {
    const step = [1, 2, 5, 10, 15, 30, 60, 120, 180, 240, 360, 720]
        .map((minutes) => minutes * 60000)
        .find((width) => (to - from) / width <= most);
    const zone = new Date(from).getTimezoneOffset() * 60000;
    const first = Math.ceil((from - zone) / step) * step + zone;
    return Array.from({ length: Math.max(0, Math.floor((to - first) / step) + 1) }, (_, n) => first + n * step);
}
