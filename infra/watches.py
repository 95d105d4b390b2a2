"""Every kind of alarm on one screen: what it says, what whoever gets it does, from what value on it tells.

docs/deploy.md has a row for each. All are on one metric: five minutes of it, added up unless a line says otherwise.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Watch:
    what: str
    do: str
    at_least: int = 1
    statistic: str = "Sum"
    is_absence: bool = False
    """Turned round: tells when there are fewer, and when there is nothing at all."""

    @property
    def description(self) -> str:
        return f"{self.what[0].upper()}{self.what[1:]}. {self.do}"


DEAD_LETTERS = Watch(
    what="a dead-letter queue has messages",
    do="Read one: it is work or an event that was tried and could not be processed. Mend the cause; the sweep and the"
    " next report of the host make good what was lost.",
    statistic="Maximum",
)
FUNCTION_ERRORS = Watch(what="a function has errors", do="Its log has the request, by request_id.")
FUNCTIONS_THROTTLED = Watch(
    what="functions are throttled",
    do="The account's concurrent executions are used up, whoever used them. Look which function runs so often; if it is"
    " honest load, ask AWS for a higher quota.",
)
API_FAULTS = Watch(
    what="the API answers 5xx",
    do="The access log has the route and the integration's error, the function's log the request, by request_id.",
    at_least=5,  # one may be a passing fault that the caller's next try did not see
)
API_REFUSALS = Watch(
    what="the API refuses requests with 429",
    do="The access log says who calls: a caller out of hand is told or loses its key; for honest load raise"
    " throttle_rate_per_s and throttle_burst.",
    at_least=100,  # API Gateway does not promise to log every one
)
TABLE_THROTTLED = Watch(
    what="a table is throttled",
    do="Requests are tried again, and answered late or with 409 busy. Look at the table's metrics: a single host or"
    " contract that is written all the time, or more traffic than ever, to which the table grows within half an hour.",
    at_least=10,
)
QUEUE_WAITS = Watch(
    what="a message waits too long in a work queue",
    do="Its reader does not run or does not keep up: look at that function's errors and throttles, and whether its"
    " event source is enabled. Hosts stop what has expired by their own clocks meanwhile.",
    statistic="Maximum",
)
RUNS_FAILED = Watch(
    what="the contract machine has failed runs",
    do="Open one in the console: its cause names the step. The sweep resumes them; a single one is normal, for a host"
    " may be unable to start an instance.",
    at_least=5,
)
RUN_TIMED_OUT = Watch(
    what="a run of the contract machine has timed out",
    do="Step Functions ends a run after a year, and the sweep should have renewed it after 300 days: look for"
    " `contract not resumed` in the sweep's log.",
)
MACHINE_THROTTLED = Watch(
    what="the contract machine is throttled",
    do="Too many contracts move at once, and their deadlines are late; nothing is lost. If it stays, ask AWS for a"
    " higher quota of state transitions.",
    at_least=10,
)
SWEEP_MISSING = Watch(
    what="the sweep does not run",
    do="Look at the rule that calls it each minute, and at the sweep's own errors and throttles. Until it runs nothing"
    " that was lost is made good, and a silent host is not noticed.",
    is_absence=True,
)
BRAKE = Watch(
    what="the brake",
    do="Too many hosts fell silent at once, so none is marked offline. Look for what keeps their reports from arriving;"
    ' if they are really gone, invoke the sweep with {"brake": false}.',
)
MACHINES_REFUSED = Watch(
    what="machines send what is not believed",
    do="The lines `refused` in the logs of api_machine and on_* name the host and say why; docs/deploy.md says what to"
    " do about each.",
    at_least=25,  # a host with a wrong clock is refused some five times, and falls silent, which shows elsewhere
)
REPORTS_REPEATED = Watch(
    what="more reports come twice or late than queues account for",
    do="Look whether somebody replays them: the lines `refused` with why `repeated` in the logs of on_* name the host."
    " They change nothing.",
    at_least=500,
)

WATCHES = (
    DEAD_LETTERS,
    FUNCTION_ERRORS,
    FUNCTIONS_THROTTLED,
    API_FAULTS,
    API_REFUSALS,
    TABLE_THROTTLED,
    QUEUE_WAITS,
    RUNS_FAILED,
    RUN_TIMED_OUT,
    MACHINE_THROTTLED,
    SWEEP_MISSING,
    BRAKE,
    MACHINES_REFUSED,
    REPORTS_REPEATED,
)
