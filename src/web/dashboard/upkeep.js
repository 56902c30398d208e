// What the server does by itself: backups, compaction, jobs.

import { call, wordsOf } from './api.js';
import { confirm } from './dialogs.js';
import { element } from './element.js';
import { figure, moment, number } from './figures.js';
import { facts, grid, rowButton, section } from './grid.js';

const CALL = '/api/v1/admin/jobs';

export class Upkeep {
    #section = section('jobs', 'Upkeep and jobs');
    #facts = element('div', { class: 'tiles' });
    #jobs = element('div', { id: 'job-lists', hidden: true });
    #counts = element('p', { class: 'hint' });
    #open;
    /** The server has no such call: it is asked once. */
    #isMissing = false;
    #done;

    constructor() {
        const when = (time) => (time ? moment(time) : '–');
        const what = ({ kind, key }) => [
            element('code', {}, kind),
            key && key !== kind ? [' ', element('span', { class: 'hint' }, key)] : null,
        ];
        this.#open = grid(
            'Jobs that run, wait or are parked',
            [
                ['Job', what],
                ['State', ({ state }) => element('span', { class: `badge ${state}` }, state)],
                ['Due', ({ due }) => when(due)],
                ['Tries', ({ attempts }) => number(attempts)],
                ['Last error', (job) => element('span', { dir: 'auto' }, job.last_error ?? '–')],
                ['Acts', (job) => this.#acts(job)],
            ],
            { empty: 'No job runs, waits or is parked.' },
        );
        this.#done = grid(
            'Jobs that ended lately',
            [
                ['Job', what],
                ['Ended', (job) => when(job.ended_at)],
                ['Took', (job) => figure(job.took_ms / 1000, 's')],
                ['Tries', ({ attempts }) => number(attempts)],
            ],
            { empty: 'No job has ended since the start.', scrolls: true },
        );
        this.#jobs.append(this.#counts, this.#open.node, element('h3', {}, 'Ended lately'), this.#done.node);
        this.node = this.#section.node;
        this.node.append(this.#facts, this.#jobs);
    }

    /** @param {{work: object}} now as the monitor tells it */
    show({ work }) {
        const backup = work.last_backup_at
            ? `${moment(work.last_backup_at)}, ${figure(work.last_backup_bytes, 'bytes')}`
            : 'none';
        this.#facts.replaceChildren(
            facts([
                ['Last backup', backup],
                ['Backups', counted(work.backups, work.backup_failures)],
                ['Last compaction', work.last_compaction_at ? moment(work.last_compaction_at) : 'none since the start'],
                ['Checkpoints', number(work.checkpoints)],
            ]),
        );
    }

    /** Asks for the jobs. A server without that call has none to show. */
    async refresh() {
        if (this.#isMissing) return;
        let open, done;
        try {
            [open, done] = await Promise.all([
                call('GET', `${CALL}?limit=200`),
                call('GET', `${CALL}?state=done&limit=50`),
            ]);
        } catch (error) {
            if (error.status !== 404) throw error;
            this.#isMissing = true;
            return;
        }
        this.#jobs.hidden = false;
        const { queued, running, parked } = open.counts;
        this.#counts.textContent = `${number(queued)} queued, ${number(running)} running, ${number(parked)} parked.`;
        this.#open.fill(open.jobs);
        this.#done.fill(done.jobs);
    }

    #acts(job) {
        const about = `${job.kind} ${job.key}`;
        const retry = () => this.#act('POST', `${CALL}/${job.id}/retry`, `${about} will run again.`);
        const remove = () =>
            confirm({
                title: 'Remove this job',
                text: `${about} will not be done.`,
                action: 'Remove',
                act: async () => {
                    await call('DELETE', `${CALL}/${job.id}`);
                    this.#section.tell(`${about} was removed.`);
                    setTimeout(() => this.#show());
                },
            });
        const isRemovable = job.state !== 'running' && !job.recurring;
        return element(
            'div',
            { class: 'acts' },
            job.state === 'parked' ? rowButton(`retry-${job.id}`, 'Try again', about, retry) : null,
            isRemovable ? rowButton(`remove-${job.id}`, 'Remove', about, remove, 'danger') : null,
        );
    }

    /** Once the dialog has closed, and has given the keyboard back to where it was. */
    #show() {
        this.refresh().catch((error) => this.#section.tell(wordsOf(error)));
    }

    async #act(method, path, words) {
        try {
            await call(method, path);
            this.#section.tell(words);
            await this.refresh();
        } catch (error) {
            this.#section.tell(wordsOf(error));
        }
    }
}

function counted(fine, failed) {
    return `${number(fine)} made, ${number(failed)} failed`;
}
