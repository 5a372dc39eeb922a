async (token) => {
  const headers = { 'content-type': 'application/json', authorization: `Bearer ${token}` };
  const asked = ['/', '/page.js', '/api/page', '/api/stream'].map((path) => fetch(path, { headers }));
  asked.push(fetch('/api/commands', { method: 'POST', headers, body: '{"command":"pause"}' }));
  return (await Promise.all(asked)).map((answer) => answer.status);
}
