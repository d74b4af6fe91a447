// A callable passed down a call, without owning or copying it.
#pragma once

#include <memory>
#include <type_traits>
#include <utility>

namespace ffmem::tokenization {

template <class Signature>
class FunctionRef;

/// Views the callable it was made from, which must outlive it: for parameters only.
template <class Result, class... Args>
class FunctionRef<Result(Args...)> {
 public:
  // Meant to be made from any callable without a word.
  template <class Callable>  // NOLINTNEXTLINE(google-explicit-constructor, bugprone-forwarding-reference-overload)
  requires(!std::is_same_v<std::remove_cvref_t<Callable>, FunctionRef>) FunctionRef(Callable&& callable)
      : object_(const_cast<void*>(static_cast<const void*>(std::addressof(callable)))),
        call_([](void* object, Args... args) -> Result {
          return (*static_cast<std::remove_reference_t<Callable>*>(object))(std::forward<Args>(args)...);
        }) {}

  Result operator()(Args... args) const { return call_(object_, std::forward<Args>(args)...); }

 private:
  void* object_;
  Result (*call_)(void*, Args...);
};

}  // namespace ffmem::tokenization
