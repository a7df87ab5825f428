import assert from 'node:assert/strict';
import { type ErrorCode, type Problem, problemSchema } from '@backhaul/protocol';

/** Asserts that the response is a problem with this status and code. */
export async function assertProblem(answer: Response, status: number, code: ErrorCode): Promise<Problem> {
  const text = await answer.text();
  assert.equal(answer.status, status, text);
  assert.equal(answer.headers.get('content-type'), 'application/problem+json');
  const problem = problemSchema.parse(JSON.parse(text));
  assert.equal(problem.code, code, text);
  assert.equal(problem.status, status);
  assert.equal(problem.type, `urn:backhaul:error:${code}`);
  return problem;
}
