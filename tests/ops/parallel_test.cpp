#include "ops/parallel.hpp"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

#include "ops/threads.hpp"

using namespace ffmem;

TEST_CASE("parallel: every call is made once, whatever the number of calls, threads and the work") {
  for (const int threads : {1, 2, 3, 8, 70}) {
    const ThreadScope scope(threads);
    for (const std::size_t n : {0UL, 1UL, 2UL, 7UL, 24UL, 1000UL}) {
      for (const std::size_t work : {std::size_t{0}, kParallelWork + 1}) {
        CAPTURE(threads);
        CAPTURE(n);
        CAPTURE(work);
        std::vector<std::atomic<int>> calls(n);
        parallel_for(n, work, [&](std::size_t i) { ++calls[i]; });
        CHECK(std::ranges::all_of(calls, [](const std::atomic<int>& count) { return count == 1; }));
        parallel_tasks(n, work, [&](std::size_t i) { ++calls[i]; });
        CHECK(std::ranges::all_of(calls, [](const std::atomic<int>& count) { return count == 2; }));
      }
    }
  }
}

TEST_CASE("parallel: a thread goes through its own share of tasks before it takes from those behind it and the others") {
  TaskShares shares(10, 3);
  std::vector<std::size_t> order;
  shares.run(1, [&](std::size_t i) { order.push_back(i); });
  CHECK(order == std::vector<std::size_t>{3, 4, 5, 6, 7, 8, 9, 0, 1, 2});
  shares.run(0, [&](std::size_t i) { order.push_back(i); });
  CHECK(order.size() == 10);
}

TEST_CASE("parallel: threads beyond the most shares begin at those of others") {
  const int threads = static_cast<int>(TaskShares::kMostShares) + 6;
  TaskShares shares(2 * TaskShares::kMostShares, threads);
  std::vector<std::size_t> order;
  shares.run(TaskShares::kMostShares + 5, [&](std::size_t i) { order.push_back(i); });
  CHECK(order.front() == 10);
  std::ranges::sort(order);
  CHECK(std::ranges::adjacent_find(order) == order.end());
  CHECK(order.size() == 2 * TaskShares::kMostShares);
}

TEST_CASE("parallel: a fork()ed child computes alone, and does not wait for threads that it has not") {
  const ThreadScope scope(2);
  std::atomic<int> calls = 0;
  const auto compute = [&] { parallel_for(8, kParallelWork, [&](std::size_t /*i*/) { ++calls; }); };
  compute();
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    ::alarm(60);
    compute();
    const ThreadScope more(3);
    parallel_tasks(8, kParallelWork, [&](std::size_t /*i*/) { ++calls; });
    ::_exit(calls == 24 && available_threads() == 1 ? 0 : 1);
  }
  int status = -1;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(status == 0);
  CHECK(available_threads() == 2);
}

TEST_CASE("parallel: a child of a thread that had no others may have them") {
  int status = -1;
  std::thread([&] {
    const pid_t child = ::fork();
    if (child == 0) {
      ::alarm(60);
      const ThreadScope scope(2);
      ::_exit(available_threads() == 2 ? 0 : 1);
    }
    ::waitpid(child, &status, 0);
  }).join();
  CHECK(status == 0);
}
