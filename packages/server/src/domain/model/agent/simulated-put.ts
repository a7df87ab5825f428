import type { PartUrls, PutAnswer } from '../object-store/part-urls.ts';
import type { Content } from './simulated-file.ts';
import type { Tally } from '../tally.ts';

interface PutRequest {
  readonly url: string;
  /** The file as it is now. */
  readonly read: () => Content;
  /** Whether anybody is still there who sends, and waits for the answer. */
  readonly isListening: () => boolean;
  readonly answered: (answer: PutAnswer) => void;
}

interface PutOptions {
  /** Whether the process has nothing more to do with it. */
  readonly isBuffered: boolean;
  readonly isSlow: boolean;
  readonly tally: Tally;
}

/** One PUT on its way: it may arrive long after whoever sent it has gone. */
export class SimulatedPut {
  readonly #request: PutRequest;
  readonly #store: (content: Content) => PutAnswer;
  /** Undefined where the body is still being read when it arrives. */
  readonly #body: Content | undefined;
  readonly #tally: Tally;
  /** It takes longer than most else. */
  isSlow: boolean;
  /** Its sender took it for failed. */
  #isGivenUp = false;

  constructor(request: PutRequest, urls: PartUrls, options: PutOptions) {
    this.isSlow = options.isSlow;
    this.#request = request;
    this.#tally = options.tally;
    this.#store = urls.begin(request.url);
    this.#body = options.isBuffered ? request.read() : undefined;
  }

  /** Its sender waits for it no longer. */
  get isLate(): boolean {
    return this.#isGivenUp || !this.#request.isListening();
  }

  arrive(): void {
    const answer = this.#effect();
    if (answer !== undefined && !this.isLate) this.#request.answered(answer);
  }

  /** Its answer gets lost. */
  arriveUnheard(): void {
    const answer = this.#effect();
    if (answer === undefined || this.isLate) return;
    if (answer.status === 'stored') this.#tally.count('PUT stored, its answer lost');
    this.#request.answered({ status: 'unavailable' });
  }

  /** @returns whether it is still on its way, although nobody waits for it. */
  break(): boolean {
    if (this.isLate) return false;
    this.#tally.count('PUT failed');
    this.#isGivenUp = true;
    this.isSlow = true;
    this.#request.answered({ status: 'unavailable' });
    return this.#body !== undefined;
  }

  /** Undefined where its end never came. */
  #effect(): PutAnswer | undefined {
    const body = this.#body ?? (this.isLate ? undefined : this.#request.read());
    if (body === undefined) return undefined;
    const answer = this.#store(body);
    if (answer.status === 'stored' && this.isLate) this.#tally.count('PUT landed after its sender had gone');
    return answer;
  }
}

/** The PUTs under way, of all agents. */
export class Puts {
  #underWay: SimulatedPut[] = [];
  readonly #urls: PartUrls;
  readonly #tally: Tally;
  readonly #random: () => number;

  constructor(urls: PartUrls, tally: Tally, random: () => number) {
    this.#urls = urls;
    this.#tally = tally;
    this.#random = random;
  }

  get underWay(): readonly SimulatedPut[] {
    return this.#underWay;
  }

  begin(request: PutRequest): void {
    const options = {
      isBuffered: this.#random() < 0.75,
      isSlow: this.#random() < 0.3,
      tally: this.#tally,
    };
    this.#underWay.push(new SimulatedPut(request, this.#urls, options));
  }

  end(put: SimulatedPut, how: 'arrive' | 'arriveUnheard' | 'break'): void {
    this.#underWay = this.#underWay.filter((other) => other !== put);
    if (put[how]() === true) this.#underWay.push(put);
  }
}
