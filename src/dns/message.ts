// SPDX-License-Identifier: Apache-2.0

/** Source: IANA, Domain Name System Parameters */
export const recordType = { a: 1, cname: 5, ptr: 12, aaaa: 28, opt: 41 } as const;
export const recordClass = { internet: 1, any: 255 } as const;
export const opcode = { query: 0, notify: 4 } as const;
export const rcode = {
  noError: 0,
  formErr: 1,
  servFail: 2,
  nxDomain: 3,
  notImp: 4,
  refused: 5,
  badVersion: 16,
} as const;

/** Source: RFC 1035 section 4.1.1, RFC 4035 section 3.2 */
export const flag = { reply: 0x8000, authoritative: 0x0400, truncated: 0x0200, recursionAvailable: 0x0080 } as const;

export const headerBytes = 12;
