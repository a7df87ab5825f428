import { PROGRESS_EVENT, type UploadRecord, uploadRecordSchema } from '@backhaul/protocol';

export interface ServerSentEvent {
  readonly id: string;
  readonly event: string;
  readonly record: UploadRecord;
}

/** Yields the events of a stream until it ends. Comments, `retry:` and progress events are skipped. */
export async function* readEvents(answer: Response): AsyncGenerator<ServerSentEvent, void, undefined> {
  if (answer.body === null) throw new Error('the answer has no body');
  let text = '';
  for await (const chunk of answer.body.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    const blocks = text.split('\n\n');
    text = blocks.pop() ?? '';
    for (const block of blocks) {
      const fields = new Map(
        block
          .split('\n')
          .map((line) => [line.slice(0, line.indexOf(': ')), line.slice(line.indexOf(': ') + 2)]),
      );
      const data = fields.get('data');
      if (data === undefined || fields.get('event') === PROGRESS_EVENT) continue;
      yield {
        id: fields.get('id') ?? '',
        event: fields.get('event') ?? '',
        record: uploadRecordSchema.parse(JSON.parse(data)),
      };
    }
  }
  if (text !== '') throw new Error(`the stream ended within an event: ${text}`);
}

/** Returns all events of a stream once it has ended. */
export async function allEvents(answer: Response): Promise<ServerSentEvent[]> {
  const events: ServerSentEvent[] = [];
  for await (const event of readEvents(answer)) events.push(event);
  return events;
}
