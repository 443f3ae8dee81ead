// A pull request from its opening to its closing, and all that one reads and writes on the way. Arguments: repository, branch, base.
const { client, outcome, main } = require('./api.js');

main(async ([repository, head, base]) => {
  const [owner, repo] = repository.split('/');
  const octokit = await client();
  const at = { owner, repo };
  const found = {};

  found.repository = (await octokit.rest.repos.get(at)).data.full_name;
  found.branch = (await octokit.rest.repos.getBranch({ ...at, branch: head })).data.name;
  found.ahead = (await octokit.rest.repos.compareCommitsWithBasehead({ ...at, basehead: `${base}...${head}` })).data.ahead_by;
  found.content = Buffer.from((await octokit.rest.repos.getContent({ ...at, path: 'about.txt', ref: head })).data.content, 'base64').toString();

  const { data: pull } = await octokit.rest.pulls.create({ ...at, head, base, title: 'From a sandbox', body: 'as asked', draft: true });
  const pull_number = pull.number;
  found.opened = [pull.state, pull.draft, pull.head.ref, pull.base.ref, pull.user.login];
  found.listed = (await octokit.rest.pulls.list({ ...at, head: `${owner}:${head}` })).data.map((each) => each.number).includes(pull_number);
  found.files = (await octokit.rest.pulls.listFiles({ ...at, pull_number })).data.length;
  found.commits = (await octokit.rest.pulls.listCommits({ ...at, pull_number })).data.length;
  const { data: diff } = await octokit.rest.pulls.get({ ...at, pull_number, mediaType: { format: 'diff' } });
  found.diff = diff.startsWith('diff --git');

  const changed = await octokit.rest.pulls.update({ ...at, pull_number, title: 'From a sandbox, again' });
  found.title = changed.data.title;
  const { data: comment } = await octokit.rest.issues.createComment({ ...at, issue_number: pull_number, body: 'a word' });
  await octokit.rest.issues.updateComment({ ...at, comment_id: comment.id, body: 'another word' });
  found.comments = (await octokit.rest.issues.listComments({ ...at, issue_number: pull_number })).data.map((each) => each.body);
  const line = { path: 'work.txt', line: 1, side: 'RIGHT', body: 'this line', commit_id: pull.head.sha };
  const { data: remark } = await octokit.rest.pulls.createReviewComment({ ...at, pull_number, ...line });
  await octokit.rest.pulls.createReplyForReviewComment({ ...at, pull_number, comment_id: remark.id, body: 'indeed' });
  found.remarks = (await octokit.rest.pulls.listReviewComments({ ...at, pull_number })).data.map((each) => each.body);
  found.review = (await octokit.rest.pulls.createReview({ ...at, pull_number, event: 'COMMENT', body: 'seen' })).data.state;
  await octokit.rest.reactions.createForIssueComment({ ...at, comment_id: comment.id, content: '+1' });

  const { data: issue } = await octokit.rest.issues.create({ ...at, title: 'Something is wrong', body: 'this' });
  found.issue = [issue.state, issue.title];
  const pages = await octokit.paginate(octokit.rest.issues.listForRepo, { ...at, state: 'all', per_page: 2 });
  found.pages = pages.map((each) => each.number);
  const q = `repo:${repository} is:pr`;
  found.search = (await octokit.request('GET /search/issues', { q })).data.items.every((each) => each.repository_url.endsWith(repository));

  const { data: runs } = await octokit.rest.actions.listWorkflowRunsForRepo({ ...at, branch: 'agent/fix-1' });
  const { data: log } = await octokit.rest.actions.downloadWorkflowRunLogs({ ...at, run_id: runs.workflow_runs[0].id });
  found.log = Buffer.from(log).toString();
  found.release = (await octokit.rest.repos.getLatestRelease(at)).data.tag_name;
  const { data: archive } = await octokit.rest.repos.downloadTarballArchive({ ...at, ref: base });
  found.archive = archive.byteLength > 0;

  const whole = await octokit.rest.repos.get(at);
  const again = outcome(() => octokit.rest.repos.get({ ...at, headers: { 'if-none-match': whole.headers.etag } }));
  found.unchanged = (await again).status;
  found.limit = (await octokit.rest.rateLimit.get()).data.rate.limit > 0;
  found.who = typeof (await octokit.rest.users.getAuthenticated()).data.login;

  found.closed = (await octokit.rest.pulls.update({ ...at, pull_number, state: 'closed' })).data.state;
  return found;
});
